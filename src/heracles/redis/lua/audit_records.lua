-- Looks at records: an unfinished job has to stand somewhere, a finished one's has to expire.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8…] refs
-- returns how many were put right

local function stands(job)
  for _, kind in ipairs({ K.scheduled, K.delayed, K.waiting, K.leases }) do
    if call('ZSCORE', kind, job.ref) then
      return true
    end
  end
end

local function check(ref)
  local job = jobs.read(ref)
  if not job.status or job.has.jobId and not job.has.adopted then
    return false
  elseif job.status == 'running' then
    return call('ZADD', K.leases, 'NX', now, ref) == 1
  elseif not jobs.is_unfinished(job.status) then
    return call('TTL', job.key) == -1 and call('EXPIRE', job.key, status_ttl) == 1
  elseif job.message and places.entry_of(job) or stands(job) then
    return false
  end
  if job.message then
    call('HDEL', job.key, 'messageId')
    job.message = false
  end
  local fields = places.kept(job)
  if fields and job.has.overlap then
    places.line_up(job, fields)
  else
    -- Without its arguments it fails.
    places.make_ready(job, fields)
  end
  return true
end

return core.conclude(function()
  core.allow_when_full()
  local count = 0
  for at = 8, #ARGV do
    if check(ARGV[at]) then
      count = count + 1
    end
  end
  return count
end)
