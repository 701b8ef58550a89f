-- Looks at records: an unfinished job has to stand somewhere, a finished one's has to expire.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8…] refs
-- returns how many were looked at, how many of them were put right, and what is wrong with single jobs

-- Bytes of entries in one call.
local MOST_BYTES = 1000000
local bytes = 0

local function entry_of(priority, message)
  local found = call('XRANGE', core.stream_of(priority), message, message)[1]
  for _, part in ipairs(found and found[2] or {}) do
    bytes = bytes + #part
  end
  return found and found[2]
end

-- A few fields tell of nearly all jobs that nothing is wrong with them.
local function is_well(ref)
  local job = jobs.named(jobs.parts_of(ref))
  local has = redis.pcall('HMGET', job.key, 'status', 'messageId', 'priority')
  local status, message = has[1], jobs.message_of({ messageId = has[2] })
  if status == 'running' then
    return call('ZSCORE', K.leases, ref) ~= false
  elseif status and not jobs.is_unfinished(status) then
    return call('TTL', job.key) ~= -1
  elseif status and message then
    local fields = entry_of(tonumber(has[3]) or 10, message)
    return fields and places.field_of(fields, 'dispatchId') == job.dispatch
  end
end

local function stands(job)
  for _, kind in ipairs({ K.scheduled, K.delayed, K.waiting, K.leases }) do
    if call('ZSCORE', kind, job.ref) then
      return true
    end
  end
end

-- Whether entries of its stream are still to be read.
local function has_unread(job)
  local stream = core.stream_of(job.priority)
  local last = places.last_read(stream)
  return last and #call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1) > 0
end

-- Somebody has written what is no status. Unless it had ended, the job is found where it stands; where it stands
-- nowhere, the next look decides.
local function retell(job)
  if not job.has.status or call('TTL', job.key) ~= -1 or job.message and places.entry_of(job) or stands(job) then
    return false
  end
  places.revive(job, 'pending', nil, job.message, job.priority, places.kept(job))
  return true
end

local function check(ref)
  local job = jobs.read(ref)
  if job.has.jobId and not job.has.adopted then
    return false
  elseif job.status and not jobs.is_unfinished(job.status) then
    return call('TTL', job.key) == -1 and call('EXPIRE', job.key, status_ttl) == 1
  elseif not places.is_entered(job) then
    return false
  elseif not job.status then
    return retell(job)
  elseif job.status == 'running' then
    return call('ZADD', K.leases, 'NX', now, ref) == 1
  elseif job.message and places.entry_of(job) or stands(job) then
    return false
  end
  local fields = places.kept(job)
  if not fields and not job.message and has_unread(job) then
    -- Somebody has removed what named its entry, which may be one of those: whoever reads it starts it.
    return false
  elseif job.message then
    call('HDEL', job.key, 'messageId')
    job.message = false
  end
  if fields and job.has.overlap then
    places.line_up(job, fields)
  else
    -- Without its arguments it fails.
    places.make_ready(job, fields)
  end
  return true
end

local function put_right(ref)
  return not is_well(ref) and check(ref)
end

return core.conclude(function()
  core.allow_when_full()
  local count, at = 0, 8
  while at <= #ARGV and bytes <= MOST_BYTES do
    if places.attempt(put_right, ARGV[at]) then
      count = count + 1
    end
    at = at + 1
  end
  return { at - 8, count, faults }
end)
