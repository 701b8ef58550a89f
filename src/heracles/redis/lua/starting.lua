-- Fifth in exchange.lua: reads entries and starts their jobs.

local starting = {}
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
  -- They are read again in their order, those that were given back among them.
  call('ZREMRANGEBYLEX', K.returned, places.range_of(priority))
  call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
end

-- The answer of a command on a stream's group, which is made anew where it is gone: then there is none.
function starting.of_group(priority, ...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    if sub(answer.err, 1, 7) ~= 'NOGROUP' then
      error(answer.err .. ' (' .. core.stream_of(priority) .. ')', 0)
    end
    starting.regroup(priority)
    return nil
  end
  return answer
end

function starting.read(priority, count)
  for _ = 1, 2 do
    local answer = starting.of_group(priority, 'XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS',
      core.stream_of(priority), '>')
    if answer then
      return answer[1][2]
    elseif answer == false then
      break
    end
  end
  return {}
end

function starting.report_foreign(priority, message, fields)
  call('ZADD', K.foreign, now + ADOPTION_MS, core.place_of(priority, message))
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
  leased[#leased + 1] = now + lease
  leased[#leased + 1] = job.ref
  if job.has.overlap then
    call('SET', K.lock .. ':' .. job.id, job.dispatch, 'PX', lease)
  end
  started[#started + 1] = { priority, message, fields, job.token, job.retries, job.deliveries, job.has.createdAt or '',
    job.has.error or '', job.has.unknownSince or '' }
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

-- job id, dispatch id, and whether it is in the full form of another program.
local function ids_of(fields)
  if fields[5] == 'jobId' and fields[7] == 'dispatchId' and fields[1] == 'job' and #fields <= 12
    and fields[9] ~= 'type' and fields[11] ~= 'type' then
    -- As enqueue.lua writes them; kwargs and options may follow.
    return fields[6], fields[8], false
  end
  return places.field_of(fields, 'jobId'), places.field_of(fields, 'dispatchId'), places.field_of(fields, 'type')
end

function starting.consider(priority, message, fields)
  local id, dispatch, is_full_form = ids_of(fields)
  if not id or not dispatch or id == '' or dispatch == '' or find(dispatch, ':', 1, true) then
    return starting.report_foreign(priority, message, fields)
  end
  local job = core.job_of(id, dispatch)
  if is_full_form and not job.has.adopted then
    return starting.report_foreign(priority, message, fields)
  end
  if not job.status then
    if not places.is_ours(id, dispatch) then
      return starting.report_foreign(priority, message, fields)
    end
    places.revive(job, message, priority, fields)
  end
  if job.message ~= message then
    if job.message or call('EXISTS', places.payload_of(job)) == 1 then
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
  elseif core.startable(job.status) then
    starting.start_or_wait(job, priority, message, fields)
  else
    core.push(acknowledged, priority, message)
  end
end

-- An entry that this or another worker had read becomes this one's.
function starting.take(place)
  local priority, message = core.position_of(place)
  local found = starting.of_group(priority, 'XCLAIM', core.stream_of(priority), group, consumer, 0, message, 'FORCE')
  if found and found[1] and found[1][2] then
    places.attempt(starting.consider, priority, message, found[1][2])
  elseif found then
    -- Redis 6.2 keeps deleted entries pending.
    call('XACK', core.stream_of(priority), group, message)
  end
end

-- What was given back unstarted, and entries of others that are adopted.
function starting.start_returned(priority)
  local low, high = places.range_of(priority)
  local is_more = true
  while is_more and #started + #foreign < slots do
    local found = call('ZRANGEBYLEX', K.returned, low, high, 'LIMIT', 0, slots - #started - #foreign)
    is_more = #found > 0
    for _, place in ipairs(found) do
      call('ZREM', K.returned, place)
      starting.take(place)
    end
  end
end

-- When the first entry that its reader has not adopted is another one's.
function starting.next_foreign()
  return tonumber(call('ZRANGE', K.foreign, 0, 0, 'WITHSCORES')[2]) or math.huge
end

-- What a worker had read and not adopted.
function starting.retry_foreign()
  for _, place in ipairs(call('ZRANGEBYSCORE', K.foreign, '-inf', now, 'LIMIT', 0, min(slots, 20))) do
    call('ZREM', K.foreign, place)
    starting.take(place)
  end
end

function starting.priorities()
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
function starting.start_jobs()
  local looked, bytes = 0, 0
  if starting.next_foreign() <= now then
    starting.retry_foreign()
  end
  local has_returned = call('EXISTS', K.returned) == 1
  for _, priority in ipairs(starting.priorities()) do
    if has_returned then
      starting.start_returned(priority)
    end
    local wanted = slots - #started - #foreign
    while wanted > 0 do
      local entries = starting.read(priority, min(wanted, MOST_READ))
      for _, entry in ipairs(entries) do
        places.attempt(starting.consider, priority, entry[1], entry[2])
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
