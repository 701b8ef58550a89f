-- First in every script: its common arguments, the names of keys, the store's clock, reading a job, and the one place
-- that writes a status, counts it and tells it.
--
-- KEYS[1] the queue's meta hash
-- KEYS[2] a key that never exists: while a cluster moves the slot, the whole call is refused before it did anything
-- ARGV[1] key prefix
-- ARGV[2] queue, in braces in a cluster
-- ARGV[3] consumer group
-- ARGV[4] lease, ms
-- ARGV[5] status_ttl, s
-- ARGV[6] finished entries kept per stream, -1 for all
-- ARGV[7] max_deliveries
-- A script's own arguments begin at ARGV[8].

local core = {}
local call, find, match, sub = redis.call, string.find, string.match, string.sub
local floor, format, max, min = math.floor, string.format, math.max, math.min
local group, lease, status_ttl = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local most_entries, most_deliveries = tonumber(ARGV[6]), tonumber(ARGV[7])
-- How many changes the event stream keeps.
local KEPT_CHANGES = 10000
-- How many jobs of a final status can be listed.
local KEPT_FINISHED = 1000
-- A longer value would turn the status hash into a table, which costs 700 bytes.
local LONGEST_IN_HASH = 64

-- K.stream, K.leases, …: the queue's key of that kind.
local K = setmetatable({}, {
  __index = function(names, kind)
    local name = ARGV[1] .. ':' .. kind .. ':' .. ARGV[2]
    names[kind] = name
    return name
  end,
})

local time = call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)

-- Epoch ms as ISO 8601 in UTC.
function core.iso(ms)
  local seconds = floor(ms / 1000)
  local days = floor(seconds / 86400)
  local rest = seconds - days * 86400
  -- Days to a date in the Gregorian calendar, whose years begin on the 1st of March here.
  local shifted = days + 719468
  local era = floor(shifted / 146097)
  local day = shifted - era * 146097
  local year = floor((day - floor(day / 1460) + floor(day / 36524) - floor(day / 146096)) / 365)
  day = day - (365 * year + floor(year / 4) - floor(year / 100))
  local month = floor((5 * day + 2) / 153)
  day = day - floor((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  year = year + era * 400 + (month <= 2 and 1 or 0)
  local hour = floor(rest / 3600)
  local minute = floor(rest % 3600 / 60)
  return format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day, hour, minute, rest % 60, ms % 1000)
end
local now_iso = core.iso(now)

-- With a full memory, Redis refuses a script whose first write takes memory, and none that has freed some before.
function core.allow_when_full()
  call('DEL', KEYS[2])
end

function core.stream_of(priority)
  return priority == 10 and K.stream or K.stream .. ':p' .. priority
end

function core.ended_of(priority)
  return K.ended .. ':p' .. priority
end

-- A position in a stream as a member that sorts by priority, then by entry id.
function core.place_of(priority, message)
  local ms, sequence = match(message, '^(%d+)-(%d+)$')
  return format('%03d:%015.0f-%012.0f', priority, tonumber(ms), tonumber(sequence))
end

function core.position_of(place)
  local priority, ms, sequence = match(place, '^(%d+):0*(%d+)%-0*(%d+)$')
  return tonumber(priority), ms .. '-' .. sequence
end

-- ------------------------------------------------------------------------------------------------------ one job

function core.unfinished(status)
  return status == 'pending' or status == 'running' or status == 'scheduled_for_retry'
end

function core.startable(status)
  return status == 'pending' or status == 'scheduled_for_retry'
end

-- A ref names a dispatch in lists and sorted sets: dispatch id, colon, job id. Dispatch ids have no colon.
function core.job_named(id, dispatch)
  local tail = ':' .. id .. ':' .. dispatch
  return { ref = dispatch .. ':' .. id, id = id, dispatch = dispatch, tail = tail, key = K.status .. tail }
end

-- A job with what its record has. status is false where there is none.
function core.job_of(id, dispatch)
  local job = core.job_named(id, dispatch)
  local flat, has = call('HGETALL', job.key), {}
  for at = 1, #flat, 2 do
    has[flat[at]] = flat[at + 1]
  end
  job.has = has
  job.status = has.status or false
  job.token = tonumber(has.token) or 0
  job.deliveries = tonumber(has.deliveries) or 0
  job.retries = tonumber(has.retries) or 0
  job.message = has.messageId or false
  job.priority = tonumber(has.priority) or 10
  return job
end

-- job id, dispatch id
function core.parts_of(ref)
  local at = find(ref, ':', 1, true)
  return sub(ref, at + 1), sub(ref, 1, at - 1)
end

function core.read_job(ref)
  return core.job_of(core.parts_of(ref))
end

-- Generated ids share what follows their prefix, so that one names the other without an index.
function core.is_twin(id, dispatch)
  return sub(id, 1, 4) == 'job_' and sub(dispatch, 1, 9) == 'dispatch_' and sub(id, 5) == sub(dispatch, 10)
end

-- --------------------------------------------------------------------------------------- what one call has changed

local counted, told = {}, {}
local acknowledged, ended, leased, unleased, finished = {}, {}, {}, {}, {}
local longest_ttl = 1
local meta_seq
-- Whether a waiting worker has to look.
local wakes = false

function core.push(lists, key, value)
  local list = lists[key]
  if list then
    list[#list + 1] = value
  else
    lists[key] = { value }
  end
end

-- The only place that writes a status. why: the error that is told. Then further fields of the hash and their values.
function core.become(job, to, why, ...)
  local from = job.status
  if from then
    call('HSET', job.key, 'status', to, 'updatedAt', now_iso, ...)
    counted[from] = (counted[from] or 0) - 1
  else
    call('HSET', job.key, 'status', to, ...)
  end
  job.status = to
  counted[to] = (counted[to] or 0) + 1
  told[#told + 1] = job.ref
  told[#told + 1] = why and to .. '\n' .. why or to
end

-- The number of the next change: rises with each.
function core.next_change()
  meta_seq = meta_seq or tonumber(call('HGET', K.meta, 'seq')) or 0
  return meta_seq + #told / 2 + 1
end

function core.tell()
  if #told == 0 then
    return
  end
  local changes = #told / 2
  local seq = call('HINCRBY', K.meta, 'seq', changes)
  if seq == changes then
    -- A cursor of before the store was emptied must not be taken for one of after it.
    call('HSET', K.meta, 'epoch', time[1] .. '.' .. time[2])
  end
  for status, by in pairs(counted) do
    if by ~= 0 then
      call('HINCRBY', K.meta, status, by)
    end
  end
  local function add()
    return redis.pcall('XADD', K.events, 'MINID', '=', max(seq - KEPT_CHANGES + 1, 0) .. '-0', seq .. '-0',
      'at', now, unpack(told))
  end
  if type(add()) == 'table' then
    -- It is ahead of the counter, which somebody has removed, or no stream at all.
    call('DEL', K.events)
    add()
  end
  counted, told, meta_seq = {}, {}, nil
end

-- items: what has ended now, with when.
function core.add_ended(priority, items)
  local list = core.ended_of(priority)
  local over = call('RPUSH', list, unpack(items)) - most_entries
  if most_entries >= 0 and over > 0 then
    local messages = {}
    for _, item in ipairs(call('LPOP', list, min(over, 500))) do
      messages[#messages + 1] = match(item, '^[^:]+')
    end
    call('XDEL', core.stream_of(priority), unpack(messages))
  end
end

function core.add_finished(status, refs)
  local list = K.finished .. ':' .. status
  -- Readers look no further than KEPT_FINISHED: it need not be cut each time.
  if call('LPUSH', list, unpack(refs)) > KEPT_FINISHED + 100 then
    call('LTRIM', list, 0, KEPT_FINISHED - 1)
  end
  if call('TTL', list) < longest_ttl then
    call('EXPIRE', list, longest_ttl)
  end
end

-- Writes what was gathered for many jobs at once.
function core.settle()
  if #leased > 0 then
    call('ZADD', K.leases, unpack(leased))
  end
  if #unleased > 0 then
    call('ZREM', K.leases, unpack(unleased))
  end
  for priority, messages in pairs(acknowledged) do
    call('XACK', core.stream_of(priority), group, unpack(messages))
  end
  for priority, items in pairs(ended) do
    core.add_ended(priority, items)
  end
  for status, refs in pairs(finished) do
    core.add_finished(status, refs)
  end
  acknowledged, ended, leased, unleased, finished, longest_ttl = {}, {}, {}, {}, {}, 1
end

-- One token wakes one worker, which leaves one again when there is more than it can take.
function core.wake()
  if wakes and call('EXISTS', K.wake) == 0 then
    call('LPUSH', K.wake, '1')
    call('PEXPIRE', K.wake, 60000)
  end
end

-- Runs a verb. Also when it fails midway, what it has changed is counted and told.
function core.conclude(verb)
  local is_done, answer = pcall(verb)
  for _, act in ipairs({ core.settle, core.tell, core.wake }) do
    local is_well, problem = pcall(act)
    if is_done and not is_well then
      is_done, answer = false, problem
    end
  end
  if is_done then
    return answer
  end
  return redis.error_reply(type(answer) == 'table' and answer.err or tostring(answer))
end
