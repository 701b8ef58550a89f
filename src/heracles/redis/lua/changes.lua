-- The status changes after a cursor.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] epoch of the cursor, '' for the cursor of now
-- ARGV[9] number of the last change that was seen
-- ARGV[10] the most stream entries to return
-- returns epoch, the number of the change before the first one returned, '1' if some after the cursor are gone,
--   entries, now in epoch ms

return core.conclude(function()
  local epoch, seq = unpack(call('HMGET', K.meta, 'epoch', 'seq'))
  epoch, seq = epoch or '0', tonumber(seq) or 0
  local seen = tonumber(ARGV[9])
  if ARGV[8] == '' then
    return { epoch, seq, '', {}, now }
  elseif ARGV[8] ~= epoch then
    -- A queue that had no change yet is no gap for whoever looked then.
    if ARGV[8] ~= '0' then
      return { epoch, seq, '1', {}, now }
    end
  elseif seen > seq then
    return { epoch, seq, '1', {}, now }
  end
  local oldest = max(seen, seq - KEPT_CHANGES)
  local entries = call('XRANGE', K.events, '(' .. oldest .. '-0', '+', 'COUNT', ARGV[10])
  local first = entries[1]
  if first then
    -- An entry's id is the number of its last change.
    local last = tonumber(match(first[1], '^%d+'))
    oldest = max(oldest, last - (#first[2] - 2) / 2)
  else
    oldest = seq
  end
  return { epoch, oldest, oldest > seen and '1' or '', entries, now }
end)
