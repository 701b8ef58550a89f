-- Second in every script: a job by its names, as its record tells it.

local jobs = {}
local STATUSES = { pending = true, running = true, scheduled_for_retry = true, completed = true, failed = true,
  cancelled = true }

function jobs.is_unfinished(status)
  return status == 'pending' or status == 'running' or status == 'scheduled_for_retry'
end

function jobs.is_startable(status)
  return status == 'pending' or status == 'scheduled_for_retry'
end

-- A ref names a dispatch in lists and sorted sets: dispatch id, colon, job id. Dispatch ids have no colon.
function jobs.named(id, dispatch)
  local tail = ':' .. id .. ':' .. dispatch
  return { ref = dispatch .. ':' .. id, id = id, dispatch = dispatch, tail = tail, key = K.status .. tail }
end

-- Others may have written anything into a record: where nothing goes by that name, it names no entry.
function jobs.message_of(has)
  local ms, sequence = match(has.messageId or '', '^(%d+)%-(%d+)$')
  return ms and #ms <= 15 and #sequence <= 15 and has.messageId
end

-- With what its record has. status is false where there is none, or what is none.
function jobs.of(id, dispatch)
  local job = jobs.named(id, dispatch)
  local flat, has = redis.pcall('HGETALL', job.key), {}
  if flat.err then
    error(flat.err .. ' (' .. job.key .. ')', 0)
  end
  for at = 1, #flat, 2 do
    has[flat[at]] = flat[at + 1]
  end
  job.has = has
  -- This says that a record is in the queue's books, which nobody else can.
  has.adopted = has.adopted == '1' and '1' or nil
  job.status = STATUSES[has.status or ''] and has.status or false
  job.token = tonumber(has.token) or 0
  -- A first run does without it.
  job.deliveries = tonumber(has.deliveries) or job.status == 'running' and 1 or 0
  job.retries = tonumber(has.retries) or 0
  job.message = jobs.message_of(has) or false
  job.priority = tonumber(has.priority) or 10
  return job
end

-- job id, dispatch id
function jobs.parts_of(ref)
  local at = find(ref, ':', 1, true)
  return sub(ref, at + 1), sub(ref, 1, at - 1)
end

function jobs.read(ref)
  return jobs.of(jobs.parts_of(ref))
end

-- Generated ids share what follows their prefix, so that one names the other without an index.
function jobs.is_twin(id, dispatch)
  return sub(id, 1, 4) == 'job_' and sub(dispatch, 1, 9) == 'dispatch_' and sub(id, 5) == sub(dispatch, 10)
end

-- A position in a stream as a member that sorts by priority, then by entry id.
function jobs.place_of(priority, message)
  local ms, sequence = match(message, '^(%d+)-(%d+)$')
  return format('%03d:%015.0f-%012.0f', priority, tonumber(ms), tonumber(sequence))
end

function jobs.position_of(place)
  local priority, ms, sequence = match(place, '^(%d+):0*(%d+)%-0*(%d+)$')
  return tonumber(priority), ms .. '-' .. sequence
end
