-- Removes what a queue has but one of, and starts its counts anew. Gates and the stream of changes stay.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] '1': only count
-- returns how many entries the streams had, and the time in epoch ms

local KINDS = { 'scheduled', 'delayed', 'waiting', 'leases', 'returned', 'foreign', 'priorities', 'wake' }
local STATUSES = { 'pending', 'running', 'scheduled_for_retry', 'completed', 'failed', 'cancelled' }

return core.conclude(function()
  local entries, keys = 0, {}
  for _, kind in ipairs(KINDS) do
    keys[#keys + 1] = K[kind]
  end
  for _, status in ipairs(STATUSES) do
    keys[#keys + 1] = K.finished .. ':' .. status
  end
  for priority = 0, 100 do
    local length = redis.pcall('XLEN', core.stream_of(priority))
    entries = entries + (type(length) == 'number' and length or 0)
    keys[#keys + 1] = core.stream_of(priority)
    keys[#keys + 1] = core.ended_of(priority)
  end
  if ARGV[8] ~= '1' then
    call('UNLINK', unpack(keys))
    call('HDEL', K.meta, unpack(STATUSES))
  end
  return { entries, now }
end)
