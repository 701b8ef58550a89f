-- Stores dispatches, each once.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] '1': write also where nothing is new, so that WAIT on this connection speaks of what was stored before
-- ARGV[9…] for each dispatch: job id, dispatch id, '1' if a running job dispatches it, priority, when: '' for now, or
--   due in epoch ms or '', a comma, and delay in ms or ''; '1' if NO_OVERLAP, and of its entry: job, args, kwargs or
--   '', options or ''
-- returns '1' if the queue is new, for each dispatch a letter (stored, draining, known), and for each known one the job
--   id under which the dispatch id is known

local STRIDE = 10

-- One command finds that most dispatch ids are new.
local function may_be_known(id, dispatch, is_twin)
  local key, by_dispatch = K.status .. ':' .. id .. ':' .. dispatch, K.dispatch .. ':' .. dispatch
  if is_twin then
    return call('EXISTS', key, by_dispatch) > 0
  end
  return call('EXISTS', key, by_dispatch, K.status .. ':job_' .. sub(dispatch, 10) .. ':' .. dispatch) > 0
end

-- The job id under which the dispatch id is known.
local function known(id, dispatch)
  for _, candidate in ipairs({ id, 'job_' .. sub(dispatch, 10), call('GET', K.dispatch .. ':' .. dispatch) or nil }) do
    if call('EXISTS', K.status .. ':' .. candidate .. ':' .. dispatch) == 1 then
      return candidate
    end
  end
end

-- The fields of its entry, and its options with the time where it has one.
local function entry(at, scheduled)
  local fields = { 'job', ARGV[at + 6], 'args', ARGV[at + 7], 'jobId', ARGV[at], 'dispatchId', ARGV[at + 1] }
  local kwargs, options = ARGV[at + 8], ARGV[at + 9]
  if scheduled then
    scheduled = '{"scheduledFor":"' .. scheduled .. '"'
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

-- A dispatch that is ready at once and waits for nobody.
local function store_ready(at, is_twin)
  local id, dispatch, priority, message = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 3]), nil
  open_stream(priority)
  if ARGV[at + 8] == '' and ARGV[at + 9] == '' then
    message = call('XADD', core.stream_of(priority), '*', 'job', ARGV[at + 6], 'args', ARGV[at + 7], 'jobId', id,
      'dispatchId', dispatch)
  else
    message = call('XADD', core.stream_of(priority), '*', unpack(entry(at)))
  end
  local key, ref = K.status .. ':' .. id .. ':' .. dispatch, dispatch .. ':' .. id
  wakes = true
  if is_twin and priority == 10 then
    return core.change(key, ref, false, 'pending', nil, 'createdAt', now_iso, 'messageId', message)
  end
  local further = priority ~= 10 and { 'priority', priority } or {}
  if not is_twin then
    law().places.index({ id = id, dispatch = dispatch }, core.next_change())
    further[#further + 1] = 'indexed'
    further[#further + 1] = '1'
  end
  core.change(key, ref, false, 'pending', nil, 'createdAt', now_iso, 'messageId', message, unpack(further))
end

local function due_at(at)
  local due, delay = match(ARGV[at + 4], '^(.-),(.*)$')
  if delay and delay ~= '' then
    return now + tonumber(delay)
  end
  return tonumber(due)
end

-- A dispatch that has to wait, for its time or for its turn.
local function store_waiting(at, is_twin)
  local jobs, places = law().jobs, law().places
  local job = jobs.named(ARGV[at], ARGV[at + 1])
  job.priority, job.has, job.status = tonumber(ARGV[at + 3]), {}, false
  local due = due_at(at)
  local scheduled = due and iso(due)
  local fields = entry(at, scheduled)
  local record = { 'createdAt', now_iso }
  local function set(field, value)
    record[#record + 1] = field
    record[#record + 1] = value
  end
  if job.priority ~= 10 then
    set('priority', job.priority)
  end
  if due then
    set('scheduledFor', scheduled)
    -- Those that are due at the same time start in this order.
    set('order', core.next_change())
  end
  open_stream(job.priority)
  local is_later, is_exclusive = due and due > now, ARGV[at + 5] == '1'
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
  if not is_twin then
    places.index(job, core.next_change())
    set('indexed', '1')
  end
  core.become(job, 'pending', nil, unpack(record))
  if is_later then
    places.park(job, due, K.scheduled)
  elseif is_exclusive then
    places.line_up(job, fields)
  end
end

return core.conclude(function()
  local is_new = call('HEXISTS', K.meta, 'seq') == 0
  local is_draining = call('HGET', K.meta, 'draining') == '1'
  if ARGV[8] == '1' then
    call('HSET', K.meta, 'touched', now)
  end
  if core.next_due() <= now then
    -- What became due before is ready before. Moving it must not open the door of a full memory to new jobs.
    call('HSET', K.meta, 'touched', now)
    law().places.promote(100)
  end
  local letters, firsts = {}, {}
  for at = 9, #ARGV, STRIDE do
    local id, dispatch = ARGV[at], ARGV[at + 1]
    local is_twin = dispatch == 'dispatch_' .. sub(id, 5) and sub(id, 1, 4) == 'job_'
    local first = may_be_known(id, dispatch, is_twin) and known(id, dispatch)
    if first then
      firsts[#firsts + 1] = first
      letters[#letters + 1] = 'k'
    elseif is_draining and ARGV[at + 2] ~= '1' then
      letters[#letters + 1] = 'd'
    else
      local store = ARGV[at + 4] == '' and ARGV[at + 5] == '' and store_ready or store_waiting
      store(at, is_twin)
      letters[#letters + 1] = 's'
    end
  end
  return { is_new and '1' or '', table.concat(letters), firsts }
end)
