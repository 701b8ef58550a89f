-- Removes finished entries of one stream, the oldest first.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] priority
-- ARGV[9] those that finished before this epoch ms go
-- ARGV[10] of the others so many stay, -1 for all
-- ARGV[11] '1': only count
-- returns how many entries went or would go, and '1' where more are to go

local STEP = 200
local priority, before, most = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local list = core.ended_of(priority)

-- How many in front of the list are too old: it is in the order of time.
local function count_old(length)
  local low, high = 0, length
  while low < high do
    local middle = floor((low + high) / 2)
    local when = tonumber(match(call('LINDEX', list, middle), ':(%d+)$')) or 0
    if when < before then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

return core.conclude(function()
  core.allow_when_full()
  local length = call('LLEN', list)
  local count = max(count_old(length), most < 0 and 0 or length - most)
  if ARGV[11] == '1' or count == 0 then
    return { count, '' }
  end
  local messages = {}
  for _, item in ipairs(call('LPOP', list, min(count, STEP))) do
    messages[#messages + 1] = match(item, '^[^:]+')
  end
  return { call('XDEL', core.stream_of(priority), unpack(messages)), count > STEP and '1' or '' }
end)
