-- Fourth in exchange.lua: jobs that have outlived their lease.

-- From this many starts without a report on, a job is suspected of taking its workers down.
local SUSPECT = 3
-- The longest pause before a suspect is started again.
local LONGEST_PAUSE_MS = 60000

local function reclaim_running(job)
  local token = job.token + 1
  if job.deliveries >= most_deliveries then
    call('HSET', job.key, 'token', token)
    fail(job, 'its worker died or was cut off ' .. job.deliveries .. ' times in a row while it ran (max_deliveries)',
      entry_of(job))
    if ARGV[13] == '1' then
      call('HSET', K.meta, 'paused', '1')
    end
    return
  end
  local entry = leave_stream(job)
  call('ZREM', K.leases, job.ref)
  if not entry then
    call('HSET', job.key, 'token', token)
    return fail(job, GONE)
  end
  become(job, 'pending', { 'token', token, 'lost', job.token })
  if job.deliveries + 1 >= SUSPECT then
    keep(job, entry)
    park(job, now + min(1000 * 2 ^ (job.deliveries + 1 - SUSPECT), LONGEST_PAUSE_MS))
  else
    make_ready(job, entry)
  end
end

local function reclaim_one(ref)
  local job = read_job(ref)
  if job.status == 'running' then
    reclaim_running(job)
  elseif job.status then
    release(job, tonumber(job.has.overlapDelay) or 0)
  else
    unlock(job)
    leave_line(job, 0)
  end
end

-- How many leases had ended.
local function reclaim(limit)
  local refs = call('ZRANGEBYSCORE', K.leases, '-inf', now, 'LIMIT', 0, limit)
  for _, ref in ipairs(refs) do
    attempt(reclaim_one, ref)
    -- Whatever became of it: its lease is over.
    call('ZREM', K.leases, ref)
  end
  return #refs
end
