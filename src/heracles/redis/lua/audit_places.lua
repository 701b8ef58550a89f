-- Looks at members of a sorted set of jobs that have not started: each has to be such a job.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] kind of the set: scheduled, delayed, waiting
-- ARGV[9…] refs
-- returns how many were put right, and what is wrong with single jobs

-- In a longer one nobody is looked for: that would take too long.
local LONGEST_LINE = 1000
local kind = ARGV[8]

local function check(ref)
  if not call('ZSCORE', K[kind], ref) then
    -- It has moved on since the set was read.
    return false
  end
  local job = jobs.read(ref)
  if not job.status then
    return places.revive_waiting(job) or call('ZREM', K[kind], ref) == 1
  elseif not jobs.is_startable(job.status) or job.message then
    call('ZREM', K[kind], ref)
    return true
  elseif kind == 'waiting' then
    local line = K.overlap .. ':' .. job.id
    local head = call('LINDEX', line, 0)
    if not head or call('LLEN', line) <= LONGEST_LINE and not call('LPOS', line, ref) then
      -- The line was removed: it lines up again.
      call('ZREM', K.waiting, ref)
      places.line_up(job)
      return true
    elseif not jobs.is_unfinished(jobs.read(head).status) and not call('ZSCORE', K.leases, head) then
      places.advance(job.id)
      return true
    end
  end
end

return core.conclude(function()
  core.allow_when_full()
  local count = 0
  for at = 9, #ARGV do
    if places.attempt(check, ARGV[at]) then
      count = count + 1
    end
  end
  return { count, faults }
end)
