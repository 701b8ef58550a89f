-- Applies a worker's reports, makes ready what is due, reclaims what has outlived its lease, and starts jobs.
--
-- KEYS, ARGV[1..7]: see core.lua
-- ARGV[8] worker id
-- ARGV[9] consumer
-- ARGV[10] session: the incarnation of the worker
-- ARGV[11] slots: the most jobs to start; -1 to make ready and reclaim only
-- ARGV[12] '1': one job may be started that may have taken workers down
-- ARGV[13] '1': a job that fails by the store's decision pauses the queue
-- ARGV[14…] for each report: job id, dispatch id, token, kind, name, result, error, traceback, delay in ms, overlap delay
--   in ms, ttl in s, '1' if still running, '1' if the queue is to be paused; '' where there is none
-- returns paused, ms until something is due or -1, verdicts (a letter each: applied, lost, cancelled), now in epoch ms,
--   started: priority, entry id, fields, token, retries, deliveries, createdAt, error or '', unknownSince or '',
--   foreign entries: priority, entry id, fields; and how many jobs were reclaimed

local STRIDE = 13
local FIRST_REPORT = 14
-- From this many starts without a report on, a job is suspected of taking its workers down.
local SUSPECT = 3
-- How long a suspect is set aside where none may be started.
local ASIDE_MS = 1000
-- How long a worker has to adopt an entry of another program that it has read, until another one gets it.
local ADOPTION_MS = 2000
-- After a group was lost, finished entries are read again: a bound for one call.
local MOST_LOOKED_AT = 500
local MOST_PROMOTED, MOST_RECLAIMED = 100, 50
local worker, consumer, session, slots = ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11])
local may_suspect = ARGV[12] == '1'

-- ---------------------------------------------------------------------------------------------------- reports

local function set(fields, name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end

-- A text in the hash when it is short, beside it when it is long.
local function set_text(job, fields, name, text, ttl)
  if text == '' then
    return
  elseif #text <= LONGEST_IN_HASH then
    set(fields, name, text)
  elseif ttl then
    call('SET', K.result .. job.tail, text, 'EX', ttl)
  else
    call('SET', K.result .. job.tail, text)
  end
end

local function forget(job, ...)
  for _, field in ipairs({ ... }) do
    if job.has[field] then
      call('HDEL', job.key, ...)
      return
    end
  end
end

-- The run has ended: its lease, lock and place are free.
local function end_run(job, report)
  unleased[#unleased + 1] = job.ref
  if job.has.overlap then
    unlock(job)
    leave_line(job, report.overlap_delay)
  end
end

local kinds = {}

function kinds.completed(job, report)
  local fields = { 'deliveries', '0', 'name', report.name }
  forget(job, 'error', 'traceback', 'unknownSince', 'due')
  if job.retries > 0 then
    call('DEL', K.result .. job.tail)
  end
  set_text(job, fields, 'result', report.result, report.ttl)
  finish(job, 'completed', fields, report.ttl)
  close_entry(job)
  end_run(job, report)
end

function kinds.failed(job, report)
  local fields = { 'deliveries', '0', 'name', report.name, 'error', report.error }
  local entry = entry_of(job)
  if entry then
    keep(job, entry, report.ttl)
  end
  forget(job, 'traceback', 'unknownSince', 'due')
  call('DEL', K.result .. job.tail)
  set_text(job, fields, 'traceback', report.traceback, report.ttl)
  if report.still_running then
    set(fields, 'overlapDelay', report.overlap_delay)
  end
  finish(job, 'failed', fields, report.ttl, report.error)
  if report.pause then
    call('HSET', K.meta, 'paused', '1')
  end
  if report.still_running then
    call('EXPIRE', job.key, max(report.ttl, 2 * floor(lease / 1000) + 60))
  else
    close_entry(job)
    end_run(job, report)
  end
end

function kinds.retry(job, report)
  local entry = leave_stream(job)
  if not entry then
    return kinds.failed(job, report)
  end
  keep(job, entry)
  local due = now + report.delay
  local fields = { 'retries', job.retries + 1, 'deliveries', '0', 'scheduledFor', iso(due), 'due', due,
    'name', report.name, 'error', report.error }
  forget(job, 'traceback', 'unknownSince')
  call('DEL', K.result .. job.tail)
  set_text(job, fields, 'traceback', report.traceback)
  if report.still_running then
    set(fields, 'overlapDelay', report.overlap_delay)
  end
  become(job, 'scheduled_for_retry', fields, report.error)
  if not report.still_running then
    end_run(job, report)
    park(job, due)
  end
end

-- Queues as of now; in the line of its job id it stays where it is.
function kinds.returned(job)
  local entry = leave_stream(job)
  if not entry then
    return fail(job, GONE)
  end
  unleased[#unleased + 1] = job.ref
  unlock(job)
  become(job, 'pending', { 'deliveries', max(job.deliveries - 1, 0) })
  make_ready(job, entry)
end

-- Its entry stays where it is and is the first of its priority to be started again.
function kinds.unstarted(job)
  unleased[#unleased + 1] = job.ref
  unlock(job)
  become(job, 'pending', { 'deliveries', max(job.deliveries - 1, 0) })
  call('ZADD', K.returned, 0, place_of(job.priority, job.message))
  wakes = true
end

function kinds.unknown(job, report)
  local entry = leave_stream(job)
  if not entry then
    return fail(job, GONE)
  end
  keep(job, entry)
  unleased[#unleased + 1] = job.ref
  unlock(job)
  become(job, 'pending', { 'deliveries', '0', 'unknownSince', job.has.unknownSince or now })
  park(job, now + report.delay)
end

function kinds.released(job, report)
  if job.status ~= 'scheduled_for_retry' then
    call('EXPIRE', job.key, report.ttl)
  end
  release(job, report.overlap_delay)
end

-- The status that a report leaves behind: found under the same token, it has been applied before.
local LEAVES = { completed = 'completed', failed = 'failed', retry = 'scheduled_for_retry', returned = 'pending',
  unstarted = 'pending', unknown = 'pending' }

local function lose(job, token)
  if job.status and tonumber(job.has.lost) == token and unfinished(job.status) then
    -- Its worker lives after all.
    call('HSET', job.key, 'deliveries', max(job.deliveries - 1, 0))
    call('HDEL', job.key, 'lost')
  end
  return 'l'
end

local function apply(at)
  local job = read_job(ARGV[at + 1] .. ':' .. ARGV[at])
  local token, kind = tonumber(ARGV[at + 2]), ARGV[at + 3]
  local report = {
    name = ARGV[at + 4], result = ARGV[at + 5], error = ARGV[at + 6], traceback = ARGV[at + 7],
    delay = tonumber(ARGV[at + 8]), overlap_delay = tonumber(ARGV[at + 9]), ttl = tonumber(ARGV[at + 10]),
    still_running = ARGV[at + 11] == '1', pause = ARGV[at + 12] == '1',
  }
  if not job.status or job.token ~= token then
    return lose(job, token)
  elseif job.status == 'cancelled' then
    if not report.still_running then
      kinds.released(job, report)
    end
    return 'c'
  elseif job.status == 'running' then
    if kind == 'released' then
      return 'l'
    end
    kinds[kind](job, report)
    return 'a'
  elseif kind == 'released' and job.status ~= 'pending' then
    kinds.released(job, report)
    return 'a'
  end
  return LEAVES[kind] == job.status and 'a' or 'l'
end

-- ---------------------------------------------------------------------------------------------------- reclaiming

local function reclaim_running(job)
  local token = job.token + 1
  if job.deliveries >= most_deliveries then
    call('HSET', job.key, 'token', token)
    fail(job, 'its worker died or was cut off ' .. job.deliveries .. ' times in a row while it ran (max_deliveries)',
      entry_of(job))
    if ARGV[13] == '1' then
      call('HSET', K.meta, 'paused', '1')
    end
    return
  end
  local entry = leave_stream(job)
  call('ZREM', K.leases, job.ref)
  if not entry then
    call('HSET', job.key, 'token', token)
    return fail(job, GONE)
  end
  become(job, 'pending', { 'token', token, 'lost', job.token })
  if job.deliveries + 1 >= SUSPECT then
    keep(job, entry)
    park(job, now + min(1000 * 2 ^ (job.deliveries + 1 - SUSPECT), 60000))
  else
    make_ready(job, entry)
  end
end

local function reclaim(limit)
  local refs = call('ZRANGEBYSCORE', K.leases, '-inf', now, 'LIMIT', 0, limit)
  for _, ref in ipairs(refs) do
    local job = read_job(ref)
    if job.status == 'running' then
      reclaim_running(job)
    elseif job.status then
      release(job, tonumber(job.has.overlapDelay) or 0)
    else
      call('ZREM', K.leases, ref)
      unlock(job)
      leave_line(job, 0)
    end
  end
  return #refs
end

-- ---------------------------------------------------------------------------------------------------- starting

local started, foreign = {}, {}
local leases = {}

-- The group is gone, or it is the first read. Finished entries are known by their record; where it is gone too, they are
-- removed now, lest they run again.
local function regroup(priority)
  local stream = stream_of(priority)
  if call('EXISTS', stream) == 0 then
    call('DEL', ended_of(priority))
  end
  for _, item in ipairs(call('LRANGE', ended_of(priority), -1000, -1)) do
    local message = match(item, '^[^:]+')
    local found = call('XRANGE', stream, message, message)[1]
    local id, dispatch = found and field_of(found[2], 'jobId'), found and field_of(found[2], 'dispatchId')
    if id and dispatch and call('EXISTS', K.status .. ':' .. id .. ':' .. dispatch) == 0 then
      call('XDEL', stream, message)
    end
  end
  -- They are read again in their order, those that were given back among them.
  call('DEL', K.returned)
  call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
end

-- The answer of a command on a stream's group, which is made anew where it is gone: then there is none.
local function of_group(priority, ...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    if sub(answer.err, 1, 7) ~= 'NOGROUP' then
      error(answer.err .. ' (' .. stream_of(priority) .. ')', 0)
    end
    regroup(priority)
    return nil
  end
  return answer
end

local function read(priority, count)
  for _ = 1, 2 do
    local answer = of_group(priority, 'XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS',
      stream_of(priority), '>')
    if answer then
      return answer[1][2]
    elseif answer == false then
      break
    end
  end
  return {}
end

local function report_foreign(priority, message, fields)
  call('ZADD', K.foreign, now + ADOPTION_MS, place_of(priority, message))
  foreign[#foreign + 1] = { priority, message, fields }
end

-- Another dispatch of its job id runs, as a lock says that outlived the line.
local function is_locked(job)
  local holder = call('GET', K.lock .. ':' .. job.id)
  return holder and holder ~= job.dispatch
end

local function start(job, priority, message, fields)
  job.token, job.deliveries = job.token + 1, job.deliveries + 1
  local changed = { 'token', job.token, 'deliveries', job.deliveries, 'startedAt', now_iso, 'worker', worker,
    'session', session }
  if not job.has.retries then
    set(changed, 'retries', '0')
  end
  become(job, 'running', changed)
  leases[#leases + 1] = now + lease
  leases[#leases + 1] = job.ref
  if job.has.overlap then
    call('SET', K.lock .. ':' .. job.id, job.dispatch, 'PX', lease)
  end
  started[#started + 1] = { priority, message, fields, job.token, job.retries, job.deliveries, job.has.createdAt or '',
    job.has.error or '', job.has.unknownSince or '' }
end

local function start_or_wait(job, priority, message, fields)
  local wait
  if job.deliveries + 1 >= SUSPECT then
    if not may_suspect then
      wait = ASIDE_MS
    end
    may_suspect = false
  end
  if not wait and job.has.overlap and is_locked(job) then
    wait = max(min(call('PTTL', K.lock .. ':' .. job.id), 1000), 1)
  end
  if wait then
    leave_stream(job)
    keep(job, fields)
    park(job, now + wait)
  else
    start(job, priority, message, fields)
  end
end

local function consider(priority, message, fields)
  local id, dispatch = field_of(fields, 'jobId'), field_of(fields, 'dispatchId')
  if not id or not dispatch or id == '' or dispatch == '' or find(dispatch, ':', 1, true) then
    return report_foreign(priority, message, fields)
  end
  local job = read_job(dispatch .. ':' .. id)
  if not job.has.adopted and field_of(fields, 'type') then
    return report_foreign(priority, message, fields)
  end
  if not job.status then
    if not is_ours(id, dispatch) then
      return report_foreign(priority, message, fields)
    end
    revive(job, message, priority, fields)
  end
  if job.message ~= message then
    if job.message or call('EXISTS', payload_of(job)) == 1 then
      return discard(priority, message)
    end
    call('HSET', job.key, 'messageId', message)
    job.message = message
  end
  if job.status == 'running' then
    -- Read again after its group was lost: it goes on, or has outlived its lease.
    if not call('ZSCORE', K.leases, job.ref) then
      call('ZADD', K.leases, now, job.ref)
    end
  elseif startable(job.status) then
    start_or_wait(job, priority, message, fields)
  else
    push(acknowledged, priority, message)
  end
end

-- An entry that this or another worker had read becomes this one's.
local function take(place)
  local priority, message = position_of(place)
  local found = of_group(priority, 'XCLAIM', stream_of(priority), group, consumer, 0, message, 'FORCE')
  if found and found[1] and found[1][2] then
    consider(priority, message, found[1][2])
  elseif found then
    -- Redis 6.2 keeps deleted entries pending.
    call('XACK', stream_of(priority), group, message)
  end
end

-- What was given back unstarted, and entries of others that are adopted.
local function start_returned(priority)
  local low, high = format('[%03d:', priority), format('(%03d;', priority)
  local is_more = true
  while is_more and #started + #foreign < slots do
    local places = call('ZRANGEBYLEX', K.returned, low, high, 'LIMIT', 0, slots - #started - #foreign)
    is_more = #places > 0
    for _, place in ipairs(places) do
      call('ZREM', K.returned, place)
      take(place)
    end
  end
end

-- What a worker had read and not adopted.
local function retry_foreign()
  for _, place in ipairs(call('ZRANGEBYSCORE', K.foreign, '-inf', now, 'LIMIT', 0, 20)) do
    call('ZREM', K.foreign, place)
    take(place)
  end
end

local function priorities()
  local found, has_default = call('ZRANGE', K.priorities, 0, -1), false
  for at, priority in ipairs(found) do
    found[at] = tonumber(priority)
    has_default = has_default or found[at] == 10
  end
  if not has_default then
    -- Other programs write there without a word.
    found[#found + 1] = 10
    table.sort(found)
  end
  return found
end

-- Whether there may be more than was looked at.
local function start_jobs()
  local looked = 0
  retry_foreign()
  local has_returned = call('EXISTS', K.returned) == 1
  for _, priority in ipairs(priorities()) do
    if has_returned then
      start_returned(priority)
    end
    local wanted = slots - #started - #foreign
    while wanted > 0 do
      local entries = read(priority, wanted)
      for _, entry in ipairs(entries) do
        consider(priority, entry[1], entry[2])
      end
      looked = looked + #entries
      if looked > MOST_LOOKED_AT then
        return true
      end
      wanted = #entries < wanted and 0 or slots - #started - #foreign
    end
  end
  return false
end

local function next_due()
  local least
  for _, kind in ipairs({ K.scheduled, K.delayed, K.foreign }) do
    local head = call('ZRANGE', kind, 0, 0, 'WITHSCORES')
    if head[2] then
      least = min(least or math.huge, tonumber(head[2]))
    end
  end
  return least and max(least - now, 0) or -1
end

return conclude(function()
  allow_when_full()
  local verdicts = {}
  for at = FIRST_REPORT, #ARGV, STRIDE do
    verdicts[#verdicts + 1] = apply(at)
  end
  settle()
  local is_more, reclaimed = false, 0
  if slots ~= 0 then
    is_more = promote(MOST_PROMOTED)
    reclaimed = reclaim(MOST_RECLAIMED)
    is_more = is_more or reclaimed >= MOST_RECLAIMED
  end
  local is_paused = call('HGET', K.meta, 'paused') == '1'
  if slots > 0 and not is_paused then
    is_more = start_jobs() or is_more
    if #leases > 0 then
      call('ZADD', K.leases, unpack(leases))
    end
  end
  local due = next_due()
  local is_full = #started + #foreign >= slots
  if is_more or slots > 0 and is_full then
    due = 0
  end
  if is_paused then
    wakes = false
  elseif slots > 0 then
    -- Whoever is not full comes back by itself.
    wakes = is_full
  end
  return { is_paused and 1 or 0, due, table.concat(verdicts), now, started, foreign, reclaimed }
end)
