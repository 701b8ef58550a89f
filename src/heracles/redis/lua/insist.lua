-- One command on one key that is let through also when the memory is full: workers have to stay known.
--
-- KEYS[1] the key
-- ARGV[1…] the command, without its key
-- returns its answer

-- It takes no memory, and what follows the first write of a script is not refused.
redis.call('PERSIST', KEYS[1])
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
