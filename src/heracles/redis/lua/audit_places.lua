-- Looks at members of a sorted set of jobs that have not started: each has to be such a job.
--
-- KEYS, ARGV[1..7]: see core.lua
-- ARGV[8] kind of the set: scheduled, delayed, waiting
-- ARGV[9…] refs
-- returns how many were put right

local kind = ARGV[8]

local function check(ref)
  local job = read_job(ref)
  if not job.status then
    local fields = kept(job)
    if not fields then
      return call('ZREM', K[kind], ref) == 1
    end
    revive(job, false, tonumber(option_of(fields, '"priority":(%d+)')) or 10, fields)
    return true
  elseif not startable(job.status) or job.message then
    call('ZREM', K[kind], ref)
    return true
  elseif kind == 'waiting' then
    local head = call('LINDEX', K.overlap .. ':' .. job.id, 0)
    if not head then
      -- The line was removed: they line up again.
      call('ZREM', K.waiting, ref)
      line_up(job)
      return true
    elseif not unfinished(read_job(head).status) and not call('ZSCORE', K.leases, head) then
      advance(job.id)
      return true
    end
  end
end

return conclude(function()
  allow_when_full()
  local count = 0
  for at = 9, #ARGV do
    if check(ARGV[at]) then
      count = count + 1
    end
  end
  return count
end)
