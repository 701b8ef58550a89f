-- When jobs were dispatched, for sorting.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] the statuses that are asked for, with blanks around each
-- ARGV[9…] refs
-- returns for each ref of such a status: createdAt, ref

local found = {}

local function look(ref)
  local values = call('HMGET', jobs.named(jobs.parts_of(ref)).key, 'status', 'createdAt')
  if values[1] and find(ARGV[8], ' ' .. values[1] .. ' ', 1, true) then
    found[#found + 1] = { values[2] or '', ref }
  end
end

return core.conclude(function()
  for at = 9, #ARGV do
    places.attempt(look, ARGV[at])
  end
  return found
end)
