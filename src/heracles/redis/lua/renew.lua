-- Renews the leases and locks of the jobs that a worker holds.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] worker id
-- ARGV[9] consumer
-- ARGV[10] session
-- ARGV[11…] for each job: job id, dispatch id, token, receipt
-- returns for each a letter: held, lost, cancelled (and renewed, while its code may run)

local FIRST, STRIDE = 11, 4

local function renew(at)
  local job, token, receipt = jobs.of(ARGV[at], ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3]
  if not job.status then
    places.revive_running(job, token, receipt, ARGV[8], ARGV[9], ARGV[10])
  end
  local is_leased = call('ZSCORE', K.leases, job.ref)
  if not job.status or job.token ~= token or not is_leased and job.status ~= 'running' then
    return job.status == 'cancelled' and job.token == token and 'c' or 'l'
  end
  call('ZADD', K.leases, now + lease, job.ref)
  if job.has.overlap then
    local lock = K.lock .. ':' .. job.id
    local holder = call('GET', lock)
    if not holder or holder == job.dispatch then
      call('SET', lock, job.dispatch, 'PX', lease)
    end
  end
  return job.status == 'cancelled' and 'c' or 'h'
end

return core.conclude(function()
  core.allow_when_full()
  local answers = {}
  for at = FIRST, #ARGV, STRIDE do
    answers[#answers + 1] = places.attempt(renew, at) or 'l'
  end
  return table.concat(answers)
end)
