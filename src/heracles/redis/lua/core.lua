-- Second in every script: the one place that writes a status, counts it and tells it, and what settles many at once.

local core = {}
-- How many changes the event stream keeps at least, and after how many it is cut to about that: cutting it at each call
-- was a tenth of a call for one job.
local KEPT_CHANGES, CHANGES_A_CUT = 10000, 1000
-- How many jobs of a final status can be listed.
local KEPT_FINISHED = 1000
-- Redis walks through all of a small sorted set for each member that it adds or removes, unless it has had one of more
-- than 64 bytes since it was empty: with so many jobs in a call, a member of that kind comes and goes.
local WIDE_FROM = 8
local meta_seq

-- With a full memory, Redis refuses a script whose first write takes memory, and none that has freed some before.
function core.allow_when_full()
  call('DEL', KEYS[2])
end

function core.stream_of(priority)
  return priority == 10 and K.stream or K.stream .. ':p' .. priority
end

function core.ended_of(priority)
  return K.ended .. ':p' .. priority
end

-- Those that may have a stream, in order.
function core.priorities()
  local found, has_default = call('ZRANGE', K.priorities, '0', '-1'), false
  for at, priority in ipairs(found) do
    found[at] = tonumber(priority)
    has_default = has_default or found[at] == 10
  end
  if not has_default then
    -- Other programs write there without a word.
    found[#found + 1] = 10
    table.sort(found)
  end
  return found
end

-- The time at which the first of those that wait is due.
function core.next_due()
  if not is_next_known then
    next_due, is_next_known = huge, true
    if call('EXISTS', K.scheduled, K.delayed) > 0 then
      for _, kind in ipairs({ K.scheduled, K.delayed }) do
        local head = call('ZRANGE', kind, '0', '0', 'WITHSCORES')
        next_due = min(next_due, tonumber(head[2]) or huge)
      end
    end
  end
  return next_due
end

function core.push(lists, key, value)
  local list = lists[key]
  if list then
    list[#list + 1] = value
  else
    lists[key] = { value }
  end
end

-- The only place that writes a status. key, ref: of the job; from: the status it has had, false for none; why: the
-- error that is told. Then further fields of the hash and their values.
function core.change(key, ref, from, to, why, ...)
  if from then
    call('HSET', key, 'status', to, 'updatedAt', now_iso, ...)
    counted[from] = (counted[from] or 0) - 1
  else
    call('HSET', key, 'status', to, ...)
  end
  counted[to] = (counted[to] or 0) + 1
  local count = #told
  told[count + 1], told[count + 2] = ref, why and to .. '\n' .. why or to
end

function core.become(job, to, why, ...)
  core.change(job.key, job.ref, job.status, to, why, ...)
  job.status = to
end

-- The number of the next change: rises with each.
function core.next_change()
  meta_seq = meta_seq or tonumber(call('HGET', K.meta, 'seq')) or 0
  return meta_seq + #told / 2 + 1
end

function core.tell()
  local changes = #told / 2
  local seq = call('HINCRBY', K.meta, 'seq', changes)
  if seq == changes then
    -- A cursor of before the store was emptied must not be taken for one of after it.
    call('HSET', K.meta, 'epoch', time[1] .. '.' .. time[2])
  end
  for status, by in pairs(counted) do
    if by ~= 0 then
      call('HINCRBY', K.meta, status, by)
    end
  end
  local function add()
    return redis.pcall('XADD', K.events, seq .. '-0', 'at', now_text, unpack(told))
  end
  if type(add()) == 'table' then
    -- It is ahead of the counter, which somebody has removed, or no stream at all.
    call('DEL', K.events)
    add()
  end
  counted, told, meta_seq = {}, {}, nil
  if seq % CHANGES_A_CUT < changes then
    call('XTRIM', K.events, 'MINID', '~', max(seq - KEPT_CHANGES + 1, 0) .. '-0')
  end
end

-- Entries that are done with: they stay until others have finished after them.
function core.close(priority, messages)
  call('XACK', core.stream_of(priority), group, unpack(messages))
  local list, when, items = core.ended_of(priority), ':' .. now_text, {}
  for at, message in ipairs(messages) do
    items[at] = message .. when
  end
  local over = call('RPUSH', list, unpack(items)) - most_entries
  if most_entries >= 0 and over > 0 then
    local surplus = call('LPOP', list, min(over, 500))
    for at, item in ipairs(surplus) do
      surplus[at] = sub(item, 1, find(item, ':', 1, true) - 1)
    end
    call('XDEL', core.stream_of(priority), unpack(surplus))
  end
end

function core.add_finished(status, refs)
  local list = K.finished .. ':' .. status
  -- Readers look no further than KEPT_FINISHED: it need not be cut each time.
  if call('LPUSH', list, unpack(refs)) > KEPT_FINISHED + 100 then
    call('LTRIM', list, 0, KEPT_FINISHED - 1)
  end
  if call('TTL', list) < longest_ttl then
    call('EXPIRE', list, longest_ttl)
  end
end

-- Writes what was gathered for many jobs at once.
function core.settle()
  if #leased >= 2 * WIDE_FROM then
    local wide = '-----------------------------------------------------------------'
    call('ZADD', K.leases, '0', wide, unpack(leased))
    call('ZREM', K.leases, wide)
    leased = {}
  elseif #leased > 0 then
    call('ZADD', K.leases, unpack(leased))
    leased = {}
  end
  if #unleased > 0 then
    call('ZREM', K.leases, unpack(unleased))
    unleased = {}
  end
  for priority, messages in pairs(acknowledged) do
    acknowledged[priority] = nil
    call('XACK', core.stream_of(priority), group, unpack(messages))
  end
  for priority, messages in pairs(closed) do
    closed[priority] = nil
    core.close(priority, messages)
  end
  for status, refs in pairs(finished) do
    finished[status] = nil
    core.add_finished(status, refs)
  end
end

-- One token wakes one worker, which leaves one again when there is more than it can take.
function core.wake()
  if call('EXISTS', K.wake) == 0 then
    call('LPUSH', K.wake, '1')
    call('PEXPIRE', K.wake, 60000)
  end
end

-- Runs a verb. Also when it fails midway, what it has changed is counted and told.
function core.conclude(verb)
  local is_done, answer = pcall(verb)
  local function finally(act)
    local is_well, problem = pcall(act)
    if is_done and not is_well then
      is_done, answer = false, problem
    end
  end
  finally(core.settle)
  if #told > 0 then
    finally(core.tell)
  end
  if wakes then
    finally(core.wake)
  end
  if is_done then
    return answer
  end
  return redis.error_reply(type(answer) == 'table' and answer.err or tostring(answer))
end
