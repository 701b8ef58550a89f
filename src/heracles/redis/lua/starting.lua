-- In the law of exchange.lua: starts any job, and sees to entries that are not plain ones.

local starting = {}
-- How long a suspect is set aside where none may be started.
local ASIDE_MS = 1000
-- How long a worker has to adopt an entry of another program that it has read, until another one gets it.
local ADOPTION_MS = 2000

-- The group is gone, or it is the first read. Finished entries are known by their record; where it is gone too, they
-- are removed now, lest they run again.
function starting.regroup(priority)
  local stream = core.stream_of(priority)
  if call('EXISTS', stream) == 0 then
    call('DEL', core.ended_of(priority))
  end
  for _, item in ipairs(call('LRANGE', core.ended_of(priority), -1000, -1)) do
    local message = match(item, '^[^:]+')
    local found = call('XRANGE', stream, message, message)[1]
    local id, dispatch = found and places.field_of(found[2], 'jobId'), found and places.field_of(found[2], 'dispatchId')
    if id and dispatch and call('EXISTS', K.status .. ':' .. id .. ':' .. dispatch) == 0 then
      call('XDEL', stream, message)
    end
  end
  -- There had been one: what stood in the stream may be gone.
  was_lost = was_lost or call('ZSCORE', K.priorities, priority) ~= false
  -- They are read again in their order, those that were given back among them.
  call('ZREMRANGEBYLEX', K.returned, places.range_of(priority))
  call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
end

-- After a refusal: the group is made anew where it is gone.
function starting.mend_group(priority, refused)
  if sub(refused.err, 1, 7) ~= 'NOGROUP' then
    error(refused.err .. ' (' .. core.stream_of(priority) .. ')', 0)
  end
  starting.regroup(priority)
end

-- The answer of a command on a stream's group; where that is gone it is made anew, and there is no answer.
function starting.of_group(priority, ...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    starting.mend_group(priority, answer)
    return nil
  end
  return answer
end

-- What a read brings after the first was refused.
function starting.read_again(priority, count, refused)
  starting.mend_group(priority, refused)
  local answer = starting.of_group(priority, 'XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS',
    core.stream_of(priority), '>')
  return answer and answer[1][2] or {}
end

function starting.report_foreign(priority, message, fields)
  call('ZADD', K.foreign, now + ADOPTION_MS, jobs.place_of(priority, message))
  foreign[#foreign + 1] = { priority, message, fields }
end

-- Another dispatch of its job id runs, as a lock says that outlived the line.
function starting.is_locked(job)
  local holder = call('GET', K.lock .. ':' .. job.id)
  return holder and holder ~= job.dispatch
end

function starting.start(job, priority, message, fields)
  job.token, job.deliveries = job.token + 1, job.deliveries + 1
  core.become(job, 'running', nil, 'token', job.token, 'deliveries', job.deliveries, 'retries', job.retries,
    'startedAt', now_iso, 'worker', worker, 'session', session)
  if job.has.overlap then
    call('SET', K.lock .. ':' .. job.id, job.dispatch, 'PX', lease)
  end
  add_started(job.ref, message, priority, job.has.createdAt or '', fields, job.token, job.retries, job.deliveries,
    { job.has.error or '', job.has.unknownSince or '' })
end

function starting.start_or_wait(job, priority, message, fields)
  local wait
  if job.deliveries + 1 >= SUSPECT then
    if not may_suspect then
      wait = ASIDE_MS
    end
    may_suspect = false
  end
  if not wait and job.has.overlap and starting.is_locked(job) then
    wait = max(min(call('PTTL', K.lock .. ':' .. job.id), 1000), 1)
  end
  if wait then
    places.leave_stream(job)
    places.keep(job, fields)
    places.park(job, now + wait)
  else
    starting.start(job, priority, message, fields)
  end
end

function starting.consider(priority, message, fields)
  local id, dispatch = places.field_of(fields, 'jobId'), places.field_of(fields, 'dispatchId')
  if not id or not dispatch or id == '' or dispatch == '' or find(dispatch, ':', 1, true) then
    return starting.report_foreign(priority, message, fields)
  end
  local job = jobs.of(id, dispatch)
  if (places.field_of(fields, 'type') or job.has.jobId) and not job.has.adopted then
    return starting.report_foreign(priority, message, fields)
  end
  if not job.status then
    if not places.is_ours(id, dispatch) then
      return starting.report_foreign(priority, message, fields)
    end
    places.revive(job, 'pending', nil, message, priority, fields)
  end
  if job.message ~= message then
    local is_elsewhere = not jobs.is_unfinished(job.status) or job.message and places.entry_of(job)
    if is_elsewhere or places.has_left(job) then
      return places.discard(priority, message)
    end
    call('HSET', job.key, 'messageId', message)
    job.message = message
  end
  if job.status == 'running' then
    -- Read again after its group was lost: it goes on, or has outlived its lease.
    if not call('ZSCORE', K.leases, job.ref) then
      call('ZADD', K.leases, now, job.ref)
    end
  elseif jobs.is_startable(job.status) then
    starting.start_or_wait(job, priority, message, fields)
  else
    core.push(acknowledged, priority, message)
  end
end

-- An entry that this or another worker had read becomes this one's.
function starting.take(place)
  local priority, message = jobs.position_of(place)
  local found = starting.of_group(priority, 'XCLAIM', core.stream_of(priority), group, consumer, 0, message, 'FORCE')
  if found and found[1] and found[1][2] then
    places.attempt(starting.consider, priority, message, found[1][2])
  elseif found then
    -- Redis 6.2 keeps deleted entries pending.
    call('XACK', core.stream_of(priority), group, message)
  end
end

-- Entries that were read, some of which the server would not let be started (a permission was taken away): no read
-- brings them again, so whoever comes next starts them first. Those that were started are known by their record.
function starting.leave_to_next(priority, entries)
  for _, entry in ipairs(entries) do
    redis.pcall('ZADD', K.returned, 0, jobs.place_of(priority, entry[1]))
  end
end

-- What was given back unstarted, and entries of others that are adopted.
function starting.start_returned(priority)
  local low, high = places.range_of(priority)
  local is_more = true
  while is_more and started_count + #foreign < slots do
    local found = call('ZRANGEBYLEX', K.returned, low, high, 'LIMIT', 0, slots - started_count - #foreign)
    is_more = #found > 0
    for _, place in ipairs(found) do
      starting.take(place)
      call('ZREM', K.returned, place)
    end
  end
end

-- When the first entry that its reader has not adopted is another one's.
function starting.next_foreign()
  return tonumber(call('ZRANGE', K.foreign, '0', '0', 'WITHSCORES')[2]) or huge
end

-- What a worker had read and not adopted.
function starting.retry_foreign()
  for _, place in ipairs(call('ZRANGEBYSCORE', K.foreign, '-inf', now, 'LIMIT', 0, min(slots, 20))) do
    call('ZREM', K.foreign, place)
    starting.take(place)
  end
end

function starting.attempt(priority, message, fields)
  places.attempt(starting.consider, priority, message, fields)
end
