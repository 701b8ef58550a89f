-- Third in every script that changes jobs: where a job stands, its turn among those of its job id, its end.

local places = {}
local status_ttl = tonumber(ARGV[5])
-- Ten years.
local LONGEST_TTL = 316224000

-- What is wrong with the server, rather than with a job. A denied command is told in other words from 7.2 on.
local GENERAL = { 'OOM', 'NOPERM', 'READONLY', 'MISCONF', 'NOREPLICAS', 'non local key',
  "can't run this command", 'ACL failure' }

-- A job with which something is wrong (a key of it holds something else) holds up no other one: it is left where it is,
-- and told.
function places.attempt(act, ...)
  local is_done, answer = pcall(act, ...)
  if is_done then
    return answer
  end
  local text = type(answer) == 'table' and answer.err or tostring(answer)
  for _, general in ipairs(GENERAL) do
    if find(text, general, 1, true) then
      error(answer, 0)
    end
  end
  faults[#faults + 1] = text
end

-- The id of the last entry of that stream that was read; nil where no group of ours reads it.
function places.last_read(stream)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  for _, flat in ipairs(groups) do
    local is = {}
    for at = 1, #flat, 2 do
      is[flat[at]] = flat[at + 1]
    end
    if is.name == group then
      return is['last-delivered-id']
    end
  end
end

function places.payload_of(job)
  return K.payload .. job.tail
end

-- The fields of its entry, for a job that stands outside the streams or has ended.
function places.keep(job, fields, ttl)
  if ttl then
    call('SET', places.payload_of(job), cmsgpack.pack(fields), 'EX', ttl)
  else
    call('SET', places.payload_of(job), cmsgpack.pack(fields))
  end
end

function places.kept(job)
  local packed = call('GET', places.payload_of(job))
  return packed and cmsgpack.unpack(packed)
end

function places.field_of(fields, name)
  for at = 1, #fields, 2 do
    if fields[at] == name then
      return fields[at + 1]
    end
  end
end

-- The fields of its entry. After a stream was removed, another's entry may have got the same id.
function places.entry_of(job)
  if not job.message then
    return nil
  end
  local found = call('XRANGE', core.stream_of(job.priority), job.message, job.message)[1]
  return found and places.field_of(found[2], 'dispatchId') == job.dispatch and found[2] or nil
end

-- Of an entry of ours: options are written compactly, and no text of a user stands in them.
function places.option_of(fields, pattern)
  local options = fields and places.field_of(fields, 'options')
  return options and match(options, pattern)
end

function places.ttl_of(fields)
  local given = tonumber(places.option_of(fields, '"statusTtl":(%d+)'))
  -- Whatever another program has written there.
  return given and max(min(given, LONGEST_TTL), 1) or status_ttl
end

function places.is_exclusive(fields)
  return places.option_of(fields, '"no_overlap"') ~= nil
end

-- The lowest and the highest that a member of K.returned of that priority can be, for commands that range by them.
function places.range_of(priority)
  return format('[%03d:', priority), format('(%03d;', priority)
end

-- Acknowledged and removed.
function places.discard(priority, message)
  call('XACK', core.stream_of(priority), group, message)
  call('XDEL', core.stream_of(priority), message)
end

-- Out of its stream; the fields that its entry had.
function places.leave_stream(job)
  local fields = places.entry_of(job)
  if fields then
    places.discard(job.priority, job.message)
    call('ZREM', K.returned, jobs.place_of(job.priority, job.message))
  end
  call('HDEL', job.key, 'messageId')
  job.message = false
  return fields
end

function places.park(job, due, kind)
  next_due = min(next_due, due)
  kind = kind or K.delayed
  call('ZADD', kind, due, job.ref)
  if call('ZRANGE', kind, 0, 0)[1] == job.ref then
    wakes = true
  end
end

-- ---------------------------------------------------------------------------------------------------- its end

-- Finished dispatches leave the index of their job id, but for the latest one.
function places.unindex(job, ttl)
  call('EXPIRE', K.dispatch .. ':' .. job.dispatch, ttl)
  local list = K.jobs .. ':' .. job.id
  local left = call('ZRANGE', list, '0', '1')
  if #left > 1 and call('ZREVRANGE', list, '0', '0')[1] ~= job.dispatch then
    call('ZREM', list, job.dispatch)
    left = call('ZRANGE', list, '0', '1')
  end
  if #left == 1 then
    local key = K.status .. ':' .. job.id .. ':' .. left[1]
    if left[1] == job.dispatch then
      call('EXPIRE', list, ttl)
    elseif not jobs.is_unfinished(redis.pcall('HGET', key, 'status')) then
      call('EXPIRE', list, max(call('TTL', key), 1))
    end
  end
end

function places.index(job, sequence)
  local list = K.jobs .. ':' .. job.id
  call('SET', K.dispatch .. ':' .. job.dispatch, job.id)
  local latest = call('ZREVRANGE', list, '0', '0')
  for _, dispatch in ipairs(latest) do
    if not jobs.is_unfinished(redis.pcall('HGET', K.status .. ':' .. job.id .. ':' .. dispatch, 'status')) then
      call('ZREM', list, dispatch)
    end
  end
  local twin = sub(job.id, 1, 4) == 'job_' and 'dispatch_' .. sub(job.id, 5)
  local twin_key = twin and K.status .. ':' .. job.id .. ':' .. twin
  if twin and twin ~= job.dispatch and jobs.is_unfinished(redis.pcall('HGET', twin_key, 'status')) then
    -- One of a pair of ids is in no index, until its job id has a further dispatch.
    call('ZADD', list, 'NX', 0, twin)
    call('HSET', twin_key, 'indexed', '1')
  end
  call('ZADD', list, sequence, job.dispatch)
  if #latest > 0 then
    call('PERSIST', list)
  end
end

-- A final status: the record gets its time to live. The rest as for become.
function places.finish(job, to, ttl, why, ...)
  core.become(job, to, why, 'completedAt', now_iso, ...)
  call('EXPIRE', job.key, ttl)
  core.push(finished, to, job.ref)
  longest_ttl = max(longest_ttl, ttl)
  if job.has.indexed or not jobs.is_twin(job.id, job.dispatch) then
    places.unindex(job, ttl)
  end
end

-- Whether it is one of ours whose record somebody removed, rather than one that somebody else wrote.
function places.is_ours(id, dispatch)
  return jobs.is_twin(id, dispatch) or redis.pcall('GET', K.dispatch .. ':' .. dispatch) == id
end

-- Whether its record is in the queue's books, rather than something that somebody else wrote under a name like it.
function places.is_entered(job)
  return job.has.adopted or job.has.indexed or not job.has.jobId and places.is_ours(job.id, job.dispatch)
end

-- Its entry, where it has one, is done with and stays until it is trimmed.
function places.close_entry(job)
  if job.message then
    core.push(closed, job.priority, job.message)
  end
end

function places.name_in(fields)
  local name = fields and places.field_of(fields, 'job')
  return name and match(name, '^elysium%.heracles%.job%.(.+)$') or name
end

-- Failed by the store's own decision.
function places.fail(job, why, fields)
  local ttl = places.ttl_of(fields)
  if fields then
    places.keep(job, fields, ttl)
  end
  call('EXPIRE', K.result .. job.tail, ttl)
  places.finish(job, 'failed', ttl, why, 'error', why, 'name', places.name_in(fields) or job.has.name or '')
  places.close_entry(job)
  call('ZREM', K.leases, job.ref)
  if job.has.overlap then
    places.unlock(job)
    places.leave_line(job, 0)
  end
end

-- ------------------------------------------------------------------------------------------------ becoming ready

local GONE = 'its arguments are gone from the store: the stream entry or payload was removed by something else'

-- Last in its stream as of now.
function places.make_ready(job, fields)
  fields = fields or places.kept(job)
  if not fields then
    return places.fail(job, GONE)
  end
  job.message = call('XADD', core.stream_of(job.priority), '*', unpack(fields))
  call('HSET', job.key, 'messageId', job.message)
  call('DEL', places.payload_of(job))
  wakes = true
end

-- Its job id's turn is this one's: it is ready, unless the delay after the last run or a lock stands against it.
function places.take_turn(job, fields)
  local lock = K.lock .. ':' .. job.id
  local cool, holder = unpack(call('MGET', K.cool .. ':' .. job.id, lock))
  cool = tonumber(cool) or 0
  local due
  if cool > now then
    due = cool
  elseif holder and holder ~= job.dispatch then
    due = now + max(min(call('PTTL', lock), 1000), 1)
  end
  if not due then
    return places.make_ready(job, fields)
  end
  if fields then
    places.keep(job, fields)
  end
  places.park(job, due)
end

-- A NO_OVERLAP job became ready: it waits behind those of its job id that did so before.
function places.line_up(job, fields)
  local line = K.overlap .. ':' .. job.id
  local head = call('LINDEX', line, 0)
  if head ~= job.ref then
    call('RPUSH', line, job.ref)
    if head then
      if fields then
        places.keep(job, fields)
      end
      return call('ZADD', K.waiting, now, job.ref)
    end
  end
  places.take_turn(job, fields)
end

-- A record that somebody removed, made anew from what else is known of a job of ours. Its count stands. token: where it is
-- not known, one above all that it can have had.
function places.revive(job, status, token, message, priority, fields)
  local has = { status = status, token = token or format('%.0f', now), retries = '0', createdAt = now_iso,
    messageId = message or nil }
  if priority ~= 10 then
    has.priority = priority
  end
  if places.is_exclusive(fields) then
    has.overlap = '1'
  end
  if not jobs.is_twin(job.id, job.dispatch) then
    has.indexed = '1'
  end
  for field, value in pairs(has) do
    call('HSET', job.key, field, value)
  end
  job.status, job.token, job.message, job.priority, job.has = status, tonumber(has.token), message, priority, has
end

-- The same for one that stands outside the streams: what is kept of it has no time to live. Whether it is one.
function places.revive_waiting(job)
  if call('TTL', places.payload_of(job)) ~= -1 then
    return false
  end
  places.revive(job, 'pending', nil, false, job.priority, places.kept(job))
  return true
end

-- The same for a job whose worker names it by token and receipt: it is the one that runs it when its lease runs and its
-- entry is pending with that consumer. Whether it is.
function places.revive_running(job, token, receipt, worker, consumer, session)
  local message, priority, retries = match(receipt, '^(%S+) ?(%d*) ?(%d*)$')
  if not message or not call('ZSCORE', K.leases, job.ref) or places.has_left(job) then
    return false
  end
  job.message, job.priority = message, tonumber(priority) or 10
  local pending = redis.pcall('XPENDING', core.stream_of(job.priority), group, message, message, '1', consumer)
  local fields = pending[1] and places.entry_of(job)
  if not fields or places.field_of(fields, 'jobId') ~= job.id then
    job.message = false
    return false
  end
  places.revive(job, 'running', token, message, job.priority, fields)
  job.retries, job.deliveries = tonumber(retries) or 0, 1
  call('HSET', job.key, 'retries', job.retries, 'worker', worker, 'session', session)
  return true
end

-- Of a job without a record: whether it had been cancelled, or was to wait, when that was removed.
function places.has_left(job)
  return call('EXISTS', places.payload_of(job)) == 1
end

-- The next in line gets its turn. Cancelled ones have stayed in the line and are dropped here.
function places.advance(id)
  local line = K.overlap .. ':' .. id
  for _ = 1, 100 do
    local ref = call('LINDEX', line, 0)
    if not ref then
      return
    end
    local job = places.attempt(jobs.read, ref)
    if job and jobs.is_startable(job.status) and not job.message then
      call('ZREM', K.waiting, ref)
      return places.take_turn(job)
    elseif job and jobs.is_unfinished(job.status) then
      return
    end
    call('ZREM', K.waiting, ref)
    call('LPOP', line)
  end
  local ref = call('LINDEX', line, 0)
  if ref then
    -- Go on from here at the next look.
    places.park(jobs.named(jobs.parts_of(ref)), now)
  end
end

-- Out of the line of its job id. cool: ms until the next may start, after a run.
function places.leave_line(job, cool)
  local line = K.overlap .. ':' .. job.id
  if cool > 0 then
    call('SET', K.cool .. ':' .. job.id, now + cool, 'PX', cool)
  end
  local first = call('LRANGE', line, '0', '1')
  if first[1] == job.ref then
    call('LPOP', line)
    if first[2] then
      places.advance(job.id)
    end
  else
    call('LREM', line, 1, job.ref)
  end
end

function places.unlock(job)
  local lock = K.lock .. ':' .. job.id
  if call('GET', lock) == job.dispatch then
    call('DEL', lock)
  end
end

function places.end_wait(job)
  if not job.status then
    places.revive_waiting(job)
  end
  if jobs.is_startable(job.status) and not job.message then
    if job.has.overlap then
      places.line_up(job)
    else
      places.make_ready(job)
    end
  elseif not jobs.is_unfinished(job.status) and call('LINDEX', K.overlap .. ':' .. job.id, 0) == job.ref then
    places.advance(job.id)
  end
end

-- What is due becomes ready, in order. Whether there is more than was looked at.
function places.promote(limit)
  if core.next_due() > now then
    return false
  end
  is_next_known = false
  local due = {}
  for _, kind in ipairs({ K.scheduled, K.delayed }) do
    local found = call('ZRANGEBYSCORE', kind, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
    local refs = {}
    for at = 1, #found, 2 do
      local job = places.attempt(jobs.read, found[at])
      if job then
        job.at, job.order = tonumber(found[at + 1]), tonumber(job.has.order) or 0
        due[#due + 1] = job
      end
      refs[#refs + 1] = found[at]
    end
    if #refs > 0 then
      call('ZREM', kind, unpack(refs))
    end
  end
  table.sort(due, function(a, b)
    if a.at ~= b.at then
      return a.at < b.at
    end
    return a.order < b.order or a.order == b.order and a.ref < b.ref
  end)
  for _, job in ipairs(due) do
    places.attempt(places.end_wait, job)
  end
  return #due >= limit
end

-- Of a plain job that has completed: it leaves its lock and its line, where it has been NO_OVERLAP, and the index, where
-- it has been in one. ttl: of its record.
function places.part(job, is_exclusive, ttl, cool)
  if ttl then
    places.unindex(job, ttl)
  end
  if is_exclusive then
    places.unlock(job)
    places.leave_line(job, cool)
  end
end

-- The code of a run has ended, or nobody knows better: lease, lock and place are free. Harmless when repeated.
function places.release(job, cool)
  if call('ZREM', K.leases, job.ref) == 0 then
    return
  end
  places.unlock(job)
  if job.has.overlap then
    places.leave_line(job, cool)
  end
  if job.status == 'scheduled_for_retry' then
    places.park(job, max(tonumber(job.has.due) or now, now))
  elseif not jobs.is_unfinished(job.status) then
    places.close_entry(job)
  end
end
