-- Opens or closes a queue's gates.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] '1': write also where nothing changes, so that WAIT on this connection speaks of what was changed before
-- ARGV[9] paused: '1', '0' or '' for as it is
-- ARGV[10] draining: likewise; a paused queue does not begin to drain
-- returns paused, draining

return core.conclude(function()
  core.allow_when_full()
  if ARGV[8] == '1' then
    call('HSET', K.meta, 'touched', now)
  end
  local function set(field, wanted)
    if wanted == '1' then
      call('HSET', K.meta, field, '1')
    elseif wanted == '0' then
      call('HDEL', K.meta, field)
    end
    return call('HGET', K.meta, field) == '1'
  end
  local is_paused = set('paused', ARGV[9])
  local is_draining = set('draining', ARGV[10] == '1' and is_paused and '' or ARGV[10])
  wakes = ARGV[9] == '0'
  return { is_paused and 1 or 0, is_draining and 1 or 0 }
end)
