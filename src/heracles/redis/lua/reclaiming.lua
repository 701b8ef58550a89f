-- Fourth in exchange.lua: jobs that have outlived their lease.

local reclaiming = {}
-- From this many starts without a report on, a job is suspected of taking its workers down.
local SUSPECT = 3
-- The longest pause before a suspect is started again.
local LONGEST_PAUSE_MS = 60000

function reclaiming.reclaim_running(job)
  local token = job.token + 1
  if job.deliveries >= most_deliveries then
    call('HSET', job.key, 'token', token)
    local times = job.deliveries .. ' times in a row'
    local why = 'its worker died or was cut off ' .. times .. ' while it ran (max_deliveries)'
    places.fail(job, why, places.entry_of(job))
    if ARGV[13] == '1' then
      call('HSET', K.meta, 'paused', '1')
    end
    return
  end
  local entry = places.leave_stream(job)
  call('ZREM', K.leases, job.ref)
  if not entry then
    call('HSET', job.key, 'token', token)
    return places.fail(job, GONE)
  end
  core.become(job, 'pending', nil, 'token', token, 'lost', job.token)
  if job.deliveries + 1 >= SUSPECT then
    places.keep(job, entry)
    places.park(job, now + min(1000 * 2 ^ (job.deliveries + 1 - SUSPECT), LONGEST_PAUSE_MS))
  else
    places.make_ready(job, entry)
  end
end

function reclaiming.reclaim_one(ref)
  local job = core.read_job(ref)
  if job.status == 'running' then
    reclaiming.reclaim_running(job)
  elseif job.status then
    places.release(job, tonumber(job.has.overlapDelay) or 0)
  else
    places.unlock(job)
    places.leave_line(job, 0)
  end
end

-- How many leases had ended.
function reclaiming.reclaim(limit)
  local refs = call('ZRANGEBYSCORE', K.leases, '-inf', now, 'LIMIT', 0, limit)
  for _, ref in ipairs(refs) do
    places.attempt(reclaiming.reclaim_one, ref)
    -- Whatever became of it: its lease is over.
    call('ZREM', K.leases, ref)
  end
  return #refs
end
