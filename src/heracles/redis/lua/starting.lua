-- Fifth in exchange.lua: reads entries and starts their jobs.

-- How long a suspect is set aside where none may be started.
local ASIDE_MS = 1000
-- How long a worker has to adopt an entry of another program that it has read, until another one gets it.
local ADOPTION_MS = 2000
-- After a group was lost, finished entries are read again: a bound for one call.
local MOST_LOOKED_AT = 500
-- Entries in one read, and bytes of arguments in one call.
local MOST_READ, MOST_BYTES = 50, 8000000

local worker, consumer, session, slots = ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11])
local may_suspect = ARGV[12] == '1'
local started, foreign = {}, {}

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
  leased[#leased + 1] = now + lease
  leased[#leased + 1] = job.ref
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
  local job = job_of(id, dispatch)
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
    attempt(consider, priority, message, found[1][2])
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
  for _, place in ipairs(call('ZRANGEBYSCORE', K.foreign, '-inf', now, 'LIMIT', 0, min(slots, 20))) do
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
  local looked, bytes = 0, 0
  retry_foreign()
  local has_returned = call('EXISTS', K.returned) == 1
  for _, priority in ipairs(priorities()) do
    if has_returned then
      start_returned(priority)
    end
    local wanted = slots - #started - #foreign
    while wanted > 0 do
      local entries = read(priority, min(wanted, MOST_READ))
      for _, entry in ipairs(entries) do
        attempt(consider, priority, entry[1], entry[2])
        -- Arguments are the fourth of an entry of ours.
        bytes = bytes + #(entry[2][4] or '')
      end
      looked = looked + #entries
      if looked > MOST_LOOKED_AT or bytes > MOST_BYTES then
        return true
      end
      wanted = #entries < min(wanted, MOST_READ) and 0 or slots - #started - #foreign
    end
  end
  return false
end
