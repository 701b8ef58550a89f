-- Looks at entries that were read longer than a lease ago, in pages: each has to be a running job's, or to be started
-- again first.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] priority
-- ARGV[9] entry id to begin at
-- ARGV[10] the most entries to look at
-- returns the entry id to go on after or '', how many were put right, and what is wrong with single jobs

local priority, most = tonumber(ARGV[8]), tonumber(ARGV[10])
local stream = core.stream_of(priority)

local function give_back(message)
  wakes = true
  return call('ZADD', K.returned, 0, jobs.place_of(priority, message))
end

-- Whether something had to be put right.
local function check(message, fields)
  local id, dispatch = places.field_of(fields, 'jobId'), places.field_of(fields, 'dispatchId')
  local is_named = id and dispatch and dispatch ~= '' and not find(dispatch, ':', 1, true)
  local job = is_named and jobs.of(id, dispatch)
  local is_adopted = job and (job.has.adopted or not places.field_of(fields, 'type'))
  if not job or not is_adopted or not job.status and not places.is_ours(id, dispatch) then
    return call('ZADD', K.foreign, 'NX', now, jobs.place_of(priority, message)) == 1
  elseif not job.status then
    if places.has_left(job) then
      places.discard(priority, message)
      return true
    end
    places.revive(job, 'pending', nil, message, priority, fields)
    if give_back(message) == 1 then
      -- It was counted as running when its record was removed.
      job.status = 'running'
      core.become(job, 'pending')
    end
    return true
  elseif job.message ~= message then
    places.discard(priority, message)
    return true
  elseif job.status == 'running' then
    return call('ZADD', K.leases, 'NX', now, job.ref) == 1
  elseif jobs.is_startable(job.status) then
    return give_back(message) == 1
  elseif not call('ZSCORE', K.leases, job.ref) then
    places.close_entry(job)
    return true
  end
end

return core.conclude(function()
  core.allow_when_full()
  local pending = redis.pcall('XPENDING', stream, group, 'IDLE', lease, ARGV[9], '+', most)
  if pending.err then
    return { '', 0, faults }
  end
  local count = 0
  for _, item in ipairs(pending) do
    local entry = call('XRANGE', stream, item[1], item[1])[1]
    if not entry then
      call('XACK', stream, group, item[1])
    elseif places.attempt(check, item[1], entry[2]) then
      count = count + 1
    end
  end
  return { #pending == most and pending[most][1] or '', count, faults }
end)
