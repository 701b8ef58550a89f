-- Stores dispatches, each once.
--
-- KEYS, ARGV[1..7]: see core.lua
-- ARGV[8] '1': write also where nothing is new, so that WAIT on this connection speaks of what was stored before
-- ARGV[9…] for each dispatch: job id, dispatch id, '1' if a running job dispatches it, priority, due in epoch ms
--   or '', delay in ms or '', '1' if NO_OVERLAP, and of its entry: job, args, kwargs or '', options or ''
-- returns '1' if the queue is new, and for each dispatch: 'stored', 'draining', or ':' and the job id under which the
--   dispatch id is known

local STRIDE = 11

-- The job id under which the dispatch id is known.
local function known(id, dispatch)
  local key, by_dispatch = K.status .. ':' .. id .. ':' .. dispatch, K.dispatch .. ':' .. dispatch
  local twin, twin_key = id, key
  if not core.is_twin(id, dispatch) then
    twin = 'job_' .. sub(dispatch, 10)
    twin_key = K.status .. ':' .. twin .. ':' .. dispatch
  end
  if call('EXISTS', key, by_dispatch) == 0 and (twin == id or call('EXISTS', twin_key) == 0) then
    return nil
  end
  local first = call('GET', by_dispatch)
  if call('EXISTS', key) == 1 then
    return id
  elseif call('EXISTS', twin_key) == 1 then
    return twin
  elseif first and call('EXISTS', K.status .. ':' .. first .. ':' .. dispatch) == 1 then
    return first
  end
end

local function entry(at, due)
  local fields = { 'job', ARGV[at + 7], 'args', ARGV[at + 8], 'jobId', ARGV[at], 'dispatchId', ARGV[at + 1] }
  local kwargs, options = ARGV[at + 9], ARGV[at + 10]
  if due then
    local scheduled = '{"scheduledFor":"' .. core.iso(due) .. '"'
    options = options == '' and scheduled .. '}' or scheduled .. ',' .. sub(options, 2)
  end
  if kwargs ~= '' then
    fields[9], fields[10] = 'kwargs', kwargs
  end
  if options ~= '' then
    fields[#fields + 1] = 'options'
    fields[#fields + 1] = options
  end
  return fields
end

local function due_at(at)
  if ARGV[at + 5] ~= '' then
    return now + tonumber(ARGV[at + 5])
  end
  return tonumber(ARGV[at + 4])
end

local streams = {}
-- A stream gets its group before its first entry, so that no worker's group begins behind it.
local function open_stream(priority)
  if not streams[priority] then
    streams[priority] = true
    if call('ZADD', K.priorities, priority, priority) == 1 then
      redis.pcall('XGROUP', 'CREATE', core.stream_of(priority), group, '0', 'MKSTREAM')
    end
  end
end

local function store(at)
  local job = core.job_named(ARGV[at], ARGV[at + 1])
  job.priority, job.has = tonumber(ARGV[at + 3]), {}
  local due = due_at(at)
  local fields = entry(at, due)
  local record = { 'createdAt', now_iso }
  local function set(field, value)
    record[#record + 1] = field
    record[#record + 1] = value
  end
  if job.priority ~= 10 then
    set('priority', job.priority)
  end
  if due then
    set('scheduledFor', core.iso(due))
    -- Those that are due at the same time start in this order.
    set('order', core.next_change())
  end
  open_stream(job.priority)
  local is_later, is_exclusive = due and due > now, ARGV[at + 6] == '1'
  if is_exclusive then
    set('overlap', '1')
  end
  if not is_later and not is_exclusive then
    job.message = call('XADD', core.stream_of(job.priority), '*', unpack(fields))
    set('messageId', job.message)
    wakes = true
  elseif is_later then
    places.keep(job, fields)
  end
  if not core.is_twin(job.id, job.dispatch) then
    places.index(job, core.next_change())
  end
  core.become(job, 'pending', nil, unpack(record))
  if is_later then
    places.park(job, due, K.scheduled)
  elseif is_exclusive then
    places.line_up(job, fields)
  end
end

return core.conclude(function()
  local answers = { call('HEXISTS', K.meta, 'seq') == 0 and '1' or '' }
  local is_draining = call('HGET', K.meta, 'draining') == '1'
  if ARGV[8] == '1' then
    call('HSET', K.meta, 'touched', now)
  end
  if places.next_due() <= now then
    -- What became due before is ready before. Moving it must not open the door of a full memory to new jobs.
    call('HSET', K.meta, 'touched', now)
    places.promote(100)
  end
  for at = 9, #ARGV, STRIDE do
    local first = known(ARGV[at], ARGV[at + 1])
    if first then
      answers[#answers + 1] = ':' .. first
    elseif is_draining and ARGV[at + 2] ~= '1' then
      answers[#answers + 1] = 'draining'
    else
      store(at)
      answers[#answers + 1] = 'stored'
    end
  end
  return answers
end)
