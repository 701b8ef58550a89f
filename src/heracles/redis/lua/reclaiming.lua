-- In the law of exchange.lua: jobs that have outlived their lease.

local reclaiming = {}
local most_deliveries = tonumber(ARGV[7])
-- From this many starts without a report on, a job is suspected of taking its workers down.
local SUSPECT = 3
-- The longest pause before a suspect is started again.
local LONGEST_PAUSE_MS = 60000
-- Redis looks at its clock again when it notes the delivery of an entry: that may be later than its lease began.
local SLACK_MS = 1000
-- How many entries are looked at for jobs that have lost their record.
local MOST_SOUGHT = 200

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
  core.become(job, 'pending', nil, 'token', token, 'deliveries', job.deliveries, 'lost', job.token)
  if job.deliveries + 1 >= SUSPECT then
    places.keep(job, entry)
    places.park(job, now + min(1000 * 2 ^ (job.deliveries + 1 - SUSPECT), LONGEST_PAUSE_MS))
  else
    places.make_ready(job, entry)
  end
end

local pending
-- Entries by ref that were read longer than a lease ago, as many as one call can look at.
function reclaiming.pending()
  if pending then
    return pending
  end
  pending = {}
  local left = MOST_SOUGHT
  for _, priority in ipairs(core.priorities()) do
    local stream = core.stream_of(priority)
    local idle = max(lease - SLACK_MS, 0)
    local found = left > 0 and redis.pcall('XPENDING', stream, group, 'IDLE', idle, '-', '+', left) or {}
    for _, item in ipairs(found) do
      left = left - 1
      local entry = call('XRANGE', stream, item[1], item[1])[1]
      local fields = entry and entry[2]
      local id, dispatch = fields and places.field_of(fields, 'jobId'), fields and places.field_of(fields, 'dispatchId')
      if id and dispatch then
        pending[dispatch .. ':' .. id] = { priority, item[1], fields }
      end
    end
  end
  return pending
end

-- Somebody has removed its record: whether it is known all the same that it ran.
function reclaiming.revive(job)
  local found = reclaiming.pending()[job.ref]
  if not found then
    return false
  end
  local priority, message, fields = unpack(found)
  if places.has_left(job) then
    places.discard(priority, message)
    return false
  end
  places.revive(job, 'running', nil, message, priority, fields)
  job.deliveries = 1
  return true
end

function reclaiming.reclaim_one(ref)
  local job = jobs.read(ref)
  if job.status == 'running' or not job.status and reclaiming.revive(job) then
    reclaiming.reclaim_running(job)
  elseif job.status then
    places.release(job, tonumber(job.has.overlapDelay) or 0)
  else
    places.unlock(job)
    places.leave_line(job, 0)
  end
end

-- refs: those whose leases have ended.
function reclaiming.reclaim(refs)
  for _, ref in ipairs(refs) do
    places.attempt(reclaiming.reclaim_one, ref)
    -- Whatever became of it: its lease is over.
    call('ZREM', K.leases, ref)
  end
end
