-- A queue's numbers and gates.
--
-- KEYS, ARGV[1..7]: see state.lua
-- returns the fields of the meta hash, and how many wait for a time still ahead

return core.conclude(function()
  return { call('HGETALL', K.meta), call('ZCOUNT', K.scheduled, '(' .. now, '+inf') }
end)
