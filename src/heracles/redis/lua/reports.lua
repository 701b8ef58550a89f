-- In the law of exchange.lua: what a worker's report does to a job.

local reports = {}

function reports.set(fields, name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end

-- A text in the hash when it is short, beside it when it is long.
function reports.set_text(job, fields, name, text, ttl)
  if text == '' then
    return
  elseif #text <= LONGEST_IN_HASH then
    reports.set(fields, name, text)
  elseif ttl then
    call('SET', K.result .. job.tail, text, 'EX', ttl)
  else
    call('SET', K.result .. job.tail, text)
  end
end

function reports.forget(job, ...)
  for _, field in ipairs({ ... }) do
    if job.has[field] then
      call('HDEL', job.key, ...)
      return
    end
  end
end

-- The run has ended: its lease, lock and place are free.
function reports.end_run(job, report)
  unleased[#unleased + 1] = job.ref
  if job.has.overlap then
    places.unlock(job)
    places.leave_line(job, report.overlap_delay)
  end
end

local kinds = {}

function kinds.completed(job, report)
  if job.retries > 0 or job.has.unknownSince then
    call('HDEL', job.key, 'error', 'traceback', 'unknownSince', 'due')
    call('DEL', K.result .. job.tail)
  end
  local result = report.result
  if #result > LONGEST_IN_HASH then
    call('SET', K.result .. job.tail, result, 'EX', report.ttl)
    result = ''
  end
  if result == '' then
    places.finish(job, 'completed', report.ttl, nil, 'name', report.name)
  else
    places.finish(job, 'completed', report.ttl, nil, 'name', report.name, 'result', result)
  end
  places.close_entry(job)
  reports.end_run(job, report)
end

function kinds.failed(job, report)
  local fields = { 'name', report.name, 'error', report.error }
  local entry = places.entry_of(job)
  if entry then
    places.keep(job, entry, report.ttl)
  end
  reports.forget(job, 'traceback', 'unknownSince', 'due')
  call('DEL', K.result .. job.tail)
  reports.set_text(job, fields, 'traceback', report.traceback, report.ttl)
  if report.still_running then
    reports.set(fields, 'overlapDelay', report.overlap_delay)
  end
  places.finish(job, 'failed', report.ttl, report.error, unpack(fields))
  if report.pause then
    call('HSET', K.meta, 'paused', '1')
  end
  if report.still_running then
    call('EXPIRE', job.key, max(report.ttl, 2 * floor(lease / 1000) + 60))
  else
    places.close_entry(job)
    reports.end_run(job, report)
  end
end

function kinds.retry(job, report)
  local entry = places.leave_stream(job)
  if not entry then
    return kinds.failed(job, report)
  end
  places.keep(job, entry)
  local due = now + report.delay
  local fields = { 'retries', job.retries + 1, 'deliveries', '0', 'scheduledFor', iso(due), 'due', due,
    'name', report.name, 'error', report.error }
  reports.forget(job, 'traceback', 'unknownSince')
  call('DEL', K.result .. job.tail)
  reports.set_text(job, fields, 'traceback', report.traceback)
  if report.still_running then
    reports.set(fields, 'overlapDelay', report.overlap_delay)
  end
  core.become(job, 'scheduled_for_retry', report.error, unpack(fields))
  if not report.still_running then
    reports.end_run(job, report)
    places.park(job, due)
  end
end

-- Queues as of now; in the line of its job id it stays where it is.
function kinds.returned(job)
  local entry = places.leave_stream(job)
  if not entry then
    return places.fail(job, GONE)
  end
  unleased[#unleased + 1] = job.ref
  places.unlock(job)
  core.become(job, 'pending', nil, 'deliveries', max(job.deliveries - 1, 0))
  places.make_ready(job, entry)
end

-- Its entry stays where it is and is the first of its priority to be started again.
function kinds.unstarted(job)
  if not places.entry_of(job) then
    return places.fail(job, GONE)
  end
  unleased[#unleased + 1] = job.ref
  places.unlock(job)
  core.become(job, 'pending', nil, 'deliveries', max(job.deliveries - 1, 0))
  call('ZADD', K.returned, 0, jobs.place_of(job.priority, job.message))
  wakes = true
end

function kinds.unknown(job, report)
  local entry = places.leave_stream(job)
  if not entry then
    return places.fail(job, GONE)
  end
  places.keep(job, entry)
  unleased[#unleased + 1] = job.ref
  places.unlock(job)
  core.become(job, 'pending', nil, 'deliveries', '0', 'unknownSince', job.has.unknownSince or now)
  places.park(job, now + report.delay)
end

function kinds.released(job, report)
  if job.status ~= 'scheduled_for_retry' then
    call('EXPIRE', job.key, report.ttl)
  end
  places.release(job, report.overlap_delay)
end

-- The status that a report leaves behind: found under the same token, it has been applied before.
local LEAVES = { completed = 'completed', failed = 'failed', retry = 'scheduled_for_retry', returned = 'pending',
  unstarted = 'pending', unknown = 'pending' }

function reports.lose(job, token)
  if job.status and tonumber(job.has.lost) == token and jobs.is_unfinished(job.status) then
    -- Its worker lives after all.
    call('HSET', job.key, 'deliveries', max(job.deliveries - 1, 0))
    call('HDEL', job.key, 'lost')
  end
  return 'l'
end

local function judge(job, report)
  local kind = report.kind
  if not job.status or job.token ~= report.token then
    return reports.lose(job, report.token)
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

-- What ARGV has from there on: see exchange.lua.
local function read_plain(at)
  local shared = ARGV[at]
  return { kind = 'completed', id = 'job_' .. shared, dispatch = 'dispatch_' .. shared, token = 1,
    receipt = ARGV[at + 1], name = ARGV[at + 2], ttl = status_ttl, overlap_delay = 0, result = ARGV[at + 3] }
end

local function read(at)
  local report = { kind = ARGV[at + 1], id = ARGV[at + 2], dispatch = ARGV[at + 3], token = tonumber(ARGV[at + 4]),
    receipt = ARGV[at + 5], name = ARGV[at + 6], ttl = tonumber(ARGV[at + 7]),
    overlap_delay = tonumber(ARGV[at + 8]) }
  if report.kind == 'completed' then
    report.result = ARGV[at + 9]
  else
    report.error, report.traceback, report.delay = ARGV[at + 9], ARGV[at + 10], tonumber(ARGV[at + 11])
    report.still_running, report.pause = ARGV[at + 12] == '1', ARGV[at + 13] == '1'
  end
  return report
end

local function apply(at)
  local report = ARGV[at] == '' and read(at) or read_plain(at)
  local job = jobs.of(report.id, report.dispatch)
  if not job.status and report.kind ~= 'released' then
    places.revive_running(job, report.token, report.receipt, worker, consumer, session)
  end
  return judge(job, report)
end

-- The verdict. at: where the report begins in ARGV.
function reports.apply(at)
  return places.attempt(apply, at) or 'l'
end
