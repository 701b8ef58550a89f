-- Third in exchange.lua: what it is asked for, and the two steps that nearly all jobs take, in as few commands as they
-- need: a first start, and the end of a first run that went well. Each does either the whole of its step or nothing: then
-- the law decides.

-- A longer value would turn the status hash into a table, which costs 700 bytes.
local LONGEST_IN_HASH = 64
local worker, consumer, session, slots = ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11])
local may_suspect = ARGV[12] == '1'
-- The jobs that are started, so many values each, and entries that other programs wrote: as exchange.lua returns them.
local started, foreign = {}, {}
local STARTED_STRIDE = 8
local started_count = 0
local lease_end
-- By time to live in s: when records end.
local ends = {}
-- Whether a stream's group was gone, and with it perhaps the stream.
local was_lost = false

local function add_started(ref, ...)
  -- As text once: Redis turns each number into text at some cost.
  lease_end = lease_end or format('%.0f', now + lease)
  local count, at = #leased, started_count * STARTED_STRIDE
  leased[count + 1], leased[count + 2] = lease_end, ref
  started[at + 1], started[at + 2], started[at + 3], started[at + 4], started[at + 5], started[at + 6], started[at + 7],
    started[at + 8] = ...
  started_count = started_count + 1
end

-- The first start of a job whose entry is as enqueue.lua writes it.
local function start_plain(priority, message, fields)
  local id, dispatch, count = fields[6], fields[8], #fields
  if fields[1] ~= 'job' or fields[3] ~= 'args' or fields[5] ~= 'jobId' or fields[7] ~= 'dispatchId' then
    return false
  end
  local options = count > 8 and fields[count - 1] == 'options' and fields[count]
  if count ~= 8 and not (count == 10 and (options or fields[9] == 'kwargs'))
    and not (count == 12 and options and fields[9] == 'kwargs') then
    return false
  end
  local key = K.status .. ':' .. id .. ':' .. dispatch
  -- A job has retries from its first start on, and in the hash that another program writes.
  local found = redis.pcall('HMGET', key, 'status', 'messageId', 'createdAt', 'retries')
  if found[1] ~= 'pending' or found[2] ~= message or not found[3] or found[4] then
    return false
  end
  -- Ours are written compactly.
  local lock = options and find(options, '"no_overlap"', 1, true) and K.lock .. ':' .. id
  if lock and not call('SET', lock, dispatch, 'NX', 'PX', ARGV[4]) then
    return false
  end
  local ref = dispatch .. ':' .. id
  if session == consumer then
    core.change(key, ref, 'pending', 'running', nil, 'token', '1', 'retries', '0', 'startedAt', now_iso,
      'worker', worker)
  else
    core.change(key, ref, 'pending', 'running', nil, 'token', '1', 'retries', '0', 'startedAt', now_iso,
      'worker', worker, 'session', session)
  end
  add_started(ref, message, priority, found[3], fields[2], fields[4], id, dispatch,
    count > 8 and { fields[9], fields[10], fields[11], fields[12] } or '')
  return true
end

-- The report that a job has completed whose first run it was, under the token of that. key, ref: of the job; receipt: says
-- where its entry stands; ttl: of its record; cool: ms until the next of its job id may start.
local function complete_plain(key, ref, receipt, name, ttl, cool, result)
  local found = redis.pcall('HMGET', key, 'status', 'token', 'overlap', 'indexed')
  if found[1] ~= 'running' or found[2] ~= '1' or #result > LONGEST_IN_HASH then
    return false
  end
  if result == '' then
    core.change(key, ref, 'running', 'completed', nil, 'completedAt', now_iso, 'name', name)
  else
    core.change(key, ref, 'running', 'completed', nil, 'completedAt', now_iso, 'name', name, 'result', result)
  end
  if not ends[ttl] then
    ends[ttl] = format('%.0f', now + 1000 * ttl)
    longest_ttl = max(longest_ttl, tonumber(ttl))
  end
  call('PEXPIREAT', key, ends[ttl])
  unleased[#unleased + 1] = ref
  core.push(finished, 'completed', ref)
  local message, priority = receipt, 10
  if find(receipt, ' ', 1, true) then
    message, priority = match(receipt, '^(%S+) (%d+)')
    priority = tonumber(priority)
  end
  core.push(closed, priority, message)
  if found[3] or found[4] then
    local jobs, places = law().jobs, law().places
    places.attempt(places.part, jobs.named(jobs.parts_of(ref)), found[3], found[4] and ttl, cool)
  end
  return true
end
