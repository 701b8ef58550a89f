-- Opens or closes a queue's gates.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] paused: '1', '0' or '' for as it is
-- ARGV[9] draining: likewise; a paused queue does not begin to drain
-- returns paused, draining

return core.conclude(function()
  core.allow_when_full()
  local function set(field, wanted)
    if wanted == '1' then
      call('HSET', K.meta, field, '1')
    elseif wanted == '0' then
      call('HDEL', K.meta, field)
    end
    return call('HGET', K.meta, field) == '1'
  end
  local is_paused = set('paused', ARGV[8])
  local is_draining = set('draining', ARGV[9] == '1' and is_paused and '' or ARGV[9])
  wakes = ARGV[8] == '0'
  return { is_paused and 1 or 0, is_draining and 1 or 0 }
end)
