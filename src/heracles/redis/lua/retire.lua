-- A worker's session ends: its consumers without pending entries go, and another worker looks for what it left.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] consumer
-- returns 1

return core.conclude(function()
  core.allow_when_full()
  local priorities = call('ZRANGE', K.priorities, '0', '-1')
  priorities[#priorities + 1] = '10'
  for _, priority in ipairs(priorities) do
    local stream = core.stream_of(tonumber(priority))
    local pending = redis.pcall('XPENDING', stream, group, '-', '+', 1, ARGV[8])
    -- Deleting a consumer drops its pending entries.
    if not pending.err and #pending == 0 then
      call('XGROUP', 'DELCONSUMER', stream, group, ARGV[8])
    end
  end
  wakes = true
  return 1
end)
