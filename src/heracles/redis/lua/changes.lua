-- The status changes after a cursor.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] epoch of the cursor, '' for the cursor of now
-- ARGV[9] number of the last change that was seen
-- ARGV[10] the time at which it was told, '' where it is not known
-- ARGV[11] the most stream entries to return
-- returns epoch, the number of the change before the first one returned, the time at which that was told, '1' if some
--   after the cursor are gone, entries, now in epoch ms

-- The number of a change that was seen is the last one of an entry.
local function told_at(number)
  local found = call('XRANGE', K.events, number .. '-0', number .. '-0')[1]
  return found and found[2][2] or ''
end

return core.conclude(function()
  local epoch, seq = unpack(call('HMGET', K.meta, 'epoch', 'seq'))
  epoch, seq = epoch or '0', tonumber(seq) or 0
  local seen = tonumber(ARGV[9])
  local function from_now(gap)
    return { epoch, seq, told_at(seq), gap, {}, now }
  end
  if ARGV[8] == '' then
    return from_now('')
  elseif ARGV[8] ~= epoch then
    -- A queue that had no change yet is no gap for whoever looked then.
    if ARGV[8] ~= '0' then
      return from_now('1')
    end
  elseif seen > seq or seen > seq - KEPT_CHANGES and ARGV[10] ~= '' and told_at(seen) ~= ARGV[10] then
    -- It is a server that has lost changes in a failover, and may have told others since under the same numbers.
    return from_now('1')
  end
  local oldest = max(seen, seq - KEPT_CHANGES)
  local entries = call('XRANGE', K.events, '(' .. oldest .. '-0', seq .. '-0', 'COUNT', ARGV[11])
  local first = entries[1]
  if first then
    -- An entry's id is the number of its last change.
    local last = tonumber(match(first[1], '^%d+'))
    oldest = max(oldest, last - (#first[2] - 2) / 2)
  else
    oldest = seq
  end
  return { epoch, oldest, ARGV[10], oldest > seen and '1' or '', entries, now }
end)
