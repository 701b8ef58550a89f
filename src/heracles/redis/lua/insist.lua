-- One command on one key that is let through also when the memory is full: workers have to stay known.
--
-- KEYS[1] the key
-- ARGV[1] for how many seconds the key lives from now on, '' for ever
-- ARGV[2…] the command, without its key
-- returns its answer

-- It takes no memory, and what follows the first write of a script is not refused.
redis.call('PERSIST', KEYS[1])
local answer = redis.call(ARGV[2], KEYS[1], unpack(ARGV, 3))
if ARGV[1] ~= '' then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return answer
