-- Finds streams that the index of priorities has lost, and drops consumers that have long been gone.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] ms without a word after which a consumer without pending entries is dropped
-- returns priorities that have a stream

local function drop_consumers(stream)
  local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, group)
  if consumers.err then
    return
  end
  for at, consumer in ipairs(consumers) do
    local is = {}
    for field = 1, #consumer, 2 do
      is[consumer[field]] = consumer[field + 1]
    end
    if at <= 250 and is.pending == 0 and is.idle > tonumber(ARGV[8]) then
      call('XGROUP', 'DELCONSUMER', stream, group, is.name)
    end
  end
end

return core.conclude(function()
  core.allow_when_full()
  local found = {}
  for priority = 0, 100 do
    local stream = core.stream_of(priority)
    if call('EXISTS', stream) == 1 then
      found[#found + 1] = priority
      call('ZADD', K.priorities, priority, priority)
      drop_consumers(stream)
    end
  end
  return found
end)
