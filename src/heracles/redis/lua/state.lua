-- First in every script: its common arguments, the names of keys, the store's clock, and what the call gathers. All else
-- stands in a function below it: functions that refer to what is local out here cost less to make there, and they are
-- made anew at each call.
--
-- KEYS[1] the queue's meta hash
-- KEYS[2] a key that never exists: while a cluster moves the slot, the whole call is refused before it did anything
-- ARGV[1] key prefix
-- ARGV[2] queue, in braces in a cluster
-- ARGV[3] consumer group
-- ARGV[4] lease, ms
-- ARGV[5] status_ttl, s
-- ARGV[6] finished entries kept per stream, -1 for all
-- ARGV[7] max_deliveries
-- A script's own arguments begin at ARGV[8].

local call, find, match, sub = redis.call, string.find, string.match, string.sub
local floor, format, huge, max, min = math.floor, string.format, math.huge, math.max, math.min
local group, lease, most_entries = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[6])

-- K.stream, K.leases, …: the queue's key of that kind.
local prefix, queue = ARGV[1] .. ':', ':' .. ARGV[2]
local K = setmetatable({ meta = KEYS[1], status = prefix .. 'status' .. queue, stream = prefix .. 'stream' .. queue }, {
  __index = function(names, kind)
    local name = prefix .. kind .. queue
    names[kind] = name
    return name
  end,
})

local time = call('TIME')
-- As text too, made once: Redis turns each number among its arguments into text at some cost.
local now_text = time[1] .. sub('00000' .. time[2], -6, -4)
local now = tonumber(now_text)

-- Epoch ms as ISO 8601 in UTC.
local function iso(ms)
  local in_day = ms % 86400000
  -- Days to a date in the Gregorian calendar, whose years begin on the 1st of March here.
  local shifted = (ms - in_day) / 86400000 + 719468
  local day = shifted % 146097
  local era = (shifted - day) / 146097
  local year = floor((day - floor(day / 1460) + floor(day / 36524) - floor(day / 146096)) / 365)
  day = day - (365 * year + floor(year / 4) - floor(year / 100))
  local month = floor((5 * day + 2) / 153)
  day = day - floor((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  year = year + era * 400 + (month <= 2 and 1 or 0)
  return format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day, in_day / 3600000, in_day / 60000 % 60,
    in_day / 1000 % 60, ms % 1000)
end
local now_iso = iso(now)

-- When the next of those that wait is due, and whether that has to be looked up anew.
local next_due, is_next_known = huge, false

-- What the call has changed: counts by status, and pairs of ref and status for the event stream.
local counted, told = {}, {}
-- By priority: entries not to be read again, and those of them that are to be trimmed one day as finished ones.
local acknowledged, closed = {}, {}
-- Refs by final status, and the longest time to live among them.
local finished, longest_ttl = {}, 1
-- Ends and refs in turn; refs.
local leased, unleased = {}, {}
-- Whether a waiting worker has to look.
local wakes = false
-- What went wrong with single jobs.
local faults = {}
