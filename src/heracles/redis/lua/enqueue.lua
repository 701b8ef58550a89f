-- Stores dispatches, each once.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] '1': write also where nothing is new, so that WAIT on this connection speaks of what was stored before
-- ARGV[9…] for each dispatch
--   where its ids are job_X and dispatch_X and it is plain, ready at once with priority 10, with nothing but job and
--   args in its entry and not dispatched by a running job: X, job, args. No other of the call has that dispatch id
--   for any other: '', job id, dispatch id, '1' if a running job dispatches it, priority, when: '' for now, or due in
--   epoch ms or '', a comma, and delay in ms or ''; '1' if NO_OVERLAP, and of its entry: job, args, kwargs or '',
--   options or ''
-- returns '1' if the queue is new, for each dispatch a letter (stored, draining, known), and for each known one the job
--   id under which the dispatch id is known

local PLAIN_STRIDE, STRIDE = 3, 11

local function is_pair(id, dispatch)
  return dispatch == 'dispatch_' .. sub(id, 5) and sub(id, 1, 4) == 'job_'
end

-- One command finds that most dispatch ids are new.
local function may_be_known(id, dispatch)
  return call('EXISTS', K.status .. ':' .. id .. ':' .. dispatch, K.dispatch .. ':' .. dispatch,
    K.status .. ':job_' .. sub(dispatch, 10) .. ':' .. dispatch) > 0
end

-- And one that those of all plain dispatches of the call are.
local function may_plain_be_known()
  local keys, at, last = {}, 9, #ARGV
  local status, index = K.status .. ':job_', K.dispatch .. ':dispatch_'
  while at <= last do
    local shared = ARGV[at]
    if shared == '' then
      at = at + STRIDE
    else
      local count = #keys
      keys[count + 1], keys[count + 2] = status .. shared .. ':dispatch_' .. shared, index .. shared
      at = at + PLAIN_STRIDE
    end
  end
  return #keys > 0 and call('EXISTS', unpack(keys)) > 0
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

-- A plain dispatch.
local function store_plain(id, dispatch, job, args)
  open_stream(10)
  wakes = true
  local message = call('XADD', K.stream, '*', 'job', job, 'args', args, 'jobId', id, 'dispatchId', dispatch)
  core.change(K.status .. ':' .. id .. ':' .. dispatch, dispatch .. ':' .. id, false, 'pending', nil,
    'createdAt', now_iso, 'messageId', message)
end

-- Another that is ready at once and waits for nobody.
local function store_ready(at)
  local id, dispatch, priority = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 3])
  open_stream(priority)
  wakes = true
  local message = call('XADD', core.stream_of(priority), '*', unpack(entry(at)))
  local further = priority ~= 10 and { 'priority', priority } or {}
  if not is_pair(id, dispatch) then
    law().places.index({ id = id, dispatch = dispatch }, core.next_change())
    further[#further + 1] = 'indexed'
    further[#further + 1] = '1'
  end
  core.change(K.status .. ':' .. id .. ':' .. dispatch, dispatch .. ':' .. id, false, 'pending', nil,
    'createdAt', now_iso, 'messageId', message, unpack(further))
end

local function due_at(at)
  local due, delay = match(ARGV[at + 4], '^(.-),(.*)$')
  if delay and delay ~= '' then
    return now + tonumber(delay)
  end
  return tonumber(due)
end

-- A dispatch that has to wait, for its time or for its turn.
local function store_waiting(at)
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
  if not is_pair(job.id, job.dispatch) then
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
  local seq, draining = unpack(call('HMGET', K.meta, 'seq', 'draining'))
  local is_new, is_draining = not seq, draining == '1'
  if ARGV[8] == '1' then
    call('HSET', K.meta, 'touched', now)
  end
  if core.next_due() <= now then
    -- What became due before is ready before. Moving it must not open the door of a full memory to new jobs.
    call('HSET', K.meta, 'touched', now)
    law().places.promote(100)
  end
  local letters, firsts = {}, {}
  local is_each_checked = may_plain_be_known()
  local at, last = 9, #ARGV
  while at <= last do
    local id, dispatch, letter = ARGV[at + 1], ARGV[at + 2], 's'
    local is_plain = ARGV[at] ~= ''
    if is_plain then
      id, dispatch = 'job_' .. ARGV[at], 'dispatch_' .. ARGV[at]
    end
    local first = (is_each_checked or not is_plain) and may_be_known(id, dispatch) and known(id, dispatch)
    if first then
      firsts[#firsts + 1] = first
      letter = 'k'
    elseif is_draining and (is_plain or ARGV[at + 3] ~= '1') then
      letter = 'd'
    elseif is_plain then
      store_plain(id, dispatch, ARGV[at + 1], ARGV[at + 2])
    elseif ARGV[at + 5] == '' and ARGV[at + 6] == '' then
      store_ready(at + 1)
    else
      store_waiting(at + 1)
    end
    letters[#letters + 1] = letter
    at = at + (is_plain and PLAIN_STRIDE or STRIDE)
  end
  return { is_new and '1' or '', table.concat(letters), firsts }
end)
