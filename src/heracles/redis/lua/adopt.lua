-- Takes entries that another program wrote into the queue's books, or does away with them.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] priority of the stream they stand in
-- ARGV[9] '1': a worker has read them; '0': they are still to be read
-- ARGV[10…] for each entry: entry id, what to do ('stay' where it is, 'move' with new fields, 'fail', 'drop'),
--   job id, dispatch id, '1' to leave it alone as long as its status hash is not there, priority, due in epoch ms
--   or '', '1' if NO_OVERLAP, error, number of fields, and the fields
-- returns for each: 'absent' (left alone, also where an earlier one may be of the same job id), 'adopted', 'failed',
--   'known' (another dispatch has its id) or 'dropped'

local FIXED = 10
-- Until when another worker leaves an entry alone that this one waits for.
local WAIT_MS = 2000
-- How many entries under adoption one of them is compared with, so that those of a job id keep their order.
local MOST_COMPARED = 200
local stands_in, was_read = tonumber(ARGV[8]), ARGV[9] == '1'

-- Not to be started again, and trimmed as a finished one.
local function drop(message)
  core.push(closed, stands_in, message)
end

-- Whether the dispatch id stands for another job already.
local function is_known(job, message)
  local first = call('GET', K.dispatch .. ':' .. job.dispatch)
  if first and first ~= job.id and call('EXISTS', K.status .. ':' .. first .. ':' .. job.dispatch) == 1 then
    return true
  end
  return job.status and (job.status ~= 'pending' or job.has.adopted and job.message ~= message
    or not job.has.adopted and not job.has.jobId)
end

-- The books: as enqueue.lua keeps them. What its producer wrote stays, but for the time to live.
local function enter(job, message, is_exclusive)
  local fields = { 'adopted', '1', 'messageId', message, 'updatedAt', now_iso }
  local function set(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if not job.has.createdAt then
    -- Its producer's hash may come late, or never.
    set('createdAt', iso(min(tonumber(match(message, '^%d+')), now)))
  end
  if not job.has.retries then
    set('retries', '0')
  end
  if stands_in ~= 10 then
    set('priority', stands_in)
  end
  if is_exclusive then
    set('overlap', '1')
  end
  if not jobs.is_twin(job.id, job.dispatch) then
    places.index(job, core.next_change())
    set('indexed', '1')
  end
  job.status = false
  core.become(job, 'pending', nil, unpack(fields))
  call('PERSIST', job.key)
  job.message, job.priority = message, stands_in
  job.has.overlap = is_exclusive and '1' or nil
end

-- Whether one that came before it is still to be adopted: it may be of the same job id.
local function is_too_early(place)
  for _, other in ipairs(call('ZRANGE', K.foreign, 0, MOST_COMPARED - 1)) do
    if other < place and sub(other, 1, 4) == sub(place, 1, 4) then
      return true
    end
  end
  return false
end

local function move(job, priority, due, is_exclusive, fields)
  places.leave_stream(job)
  if priority ~= stands_in then
    job.priority = priority
    call('HSET', job.key, 'priority', priority)
  end
  if call('ZADD', K.priorities, priority, priority) == 1 then
    redis.pcall('XGROUP', 'CREATE', core.stream_of(priority), group, '0', 'MKSTREAM')
  end
  if due then
    call('HSET', job.key, 'scheduledFor', iso(due))
  end
  if due and due > now then
    places.keep(job, fields)
    places.park(job, due, K.scheduled)
  elseif is_exclusive then
    places.line_up(job, fields)
  else
    places.make_ready(job, fields)
  end
end

local function adopt(at, fields)
  local message, deed = ARGV[at], ARGV[at + 1]
  local place = jobs.place_of(stands_in, message)
  local is_exclusive, may_wait = ARGV[at + 7] == '1', ARGV[at + 4] == '1'
  if is_exclusive and may_wait and was_read and is_too_early(place) then
    return 'absent'
  end
  if deed == 'drop' then
    call('ZREM', K.foreign, place)
    drop(message)
    return 'dropped'
  end
  local job = jobs.of(ARGV[at + 2], ARGV[at + 3])
  if not job.status and may_wait then
    if was_read then
      call('ZADD', K.foreign, now + WAIT_MS, place)
    end
    return 'absent'
  end
  call('ZREM', K.foreign, place)
  if is_known(job, message) then
    -- Somebody else may just have moved it on.
    local is_moved = job.has.adopted and #call('XRANGE', core.stream_of(stands_in), message, message) == 0
    drop(message)
    return is_moved and 'adopted' or 'known'
  elseif job.has.adopted and job.status then
    if was_read then
      call('ZADD', K.returned, 0, place)
      wakes = true
    end
    return 'adopted'
  end
  enter(job, message, is_exclusive)
  local was_cancelled = call('DEL', K.cancelled .. ':' .. job.dispatch) == 1
  if deed == 'fail' or was_cancelled then
    local entry = places.entry_of(job)
    if was_cancelled then
      places.keep(job, entry or {}, status_ttl)
      places.finish(job, 'cancelled', status_ttl, nil, 'name', places.name_in(entry) or '')
      places.close_entry(job)
    else
      -- Its place in line was never taken.
      job.has.overlap = nil
      places.fail(job, ARGV[at + 8], entry)
    end
    return 'failed'
  elseif deed == 'move' then
    move(job, tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6]), is_exclusive, fields)
  elseif was_read then
    call('ZADD', K.returned, 0, place)
    wakes = true
  end
  return 'adopted'
end

return core.conclude(function()
  core.allow_when_full()
  local answers, at = {}, 10
  while at <= #ARGV do
    local count, fields = tonumber(ARGV[at + FIXED - 1]), {}
    for offset = 1, count do
      fields[offset] = ARGV[at + FIXED - 1 + offset]
    end
    answers[#answers + 1] = adopt(at, fields)
    at = at + FIXED + count
  end
  return answers
end)
