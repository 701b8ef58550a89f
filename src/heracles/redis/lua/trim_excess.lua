-- Removes finished entries of a whole queue, the oldest first, until so many are left.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] how many stay
-- ARGV[9] '1': only count
-- ARGV[10…] the priorities that the queue has
-- returns how many entries went or would go, and '1' where more are to go

local STEP = 200
local most = tonumber(ARGV[8])

local total, oldest = 0, {}

-- When the first in the list of a priority has finished.
local function look(priority)
  local item = call('LINDEX', core.ended_of(priority), 0)
  oldest[priority] = item and (tonumber(match(item, ':(%d+)$')) or 0)
end

local function oldest_priority()
  local found
  for priority, when in pairs(oldest) do
    if when and (not found or when < oldest[found] or when == oldest[found] and priority > found) then
      found = priority
    end
  end
  return found
end

return core.conclude(function()
  core.allow_when_full()
  for at = 10, #ARGV do
    local priority = tonumber(ARGV[at])
    total = total + call('LLEN', core.ended_of(priority))
    look(priority)
  end
  local count = max(total - most, 0)
  if ARGV[9] == '1' or count == 0 then
    return { count, '' }
  end
  local messages = {}
  for _ = 1, min(count, STEP) do
    local priority = oldest_priority()
    core.push(messages, priority, match(call('LPOP', core.ended_of(priority)), '^[^:]+'))
    look(priority)
  end
  local removed = 0
  for priority, list in pairs(messages) do
    removed = removed + call('XDEL', core.stream_of(priority), unpack(list))
  end
  return { removed, count > STEP and '1' or '' }
end)
