-- Cancels jobs: those that wait never start; of those that run the workers are told.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] '1': write also where all was cancelled before, so that WAIT on this connection speaks of that
-- ARGV[9] 'ids': job ids and dispatch ids; 'refs': dispatches by ref; 'foreign': dispatches by ref, to be remembered
--   where their entry is not known yet
-- ARGV[10] '1': only what has not started
-- ARGV[11] only what was created up to this ISO time, or ''
-- ARGV[12…] ids or refs
-- returns for each '1' where at least one job has ended CANCELLED, '+' where there may be more to cancel, else '0'

-- The most dispatches of one job id in one call.
local MOST = 200
local by, only_unstarted, until_iso = ARGV[9], ARGV[10] == '1', ARGV[11]

-- Its arguments, kept as long as its record.
local function keep_arguments(job)
  local fields = job.status == 'running' and places.entry_of(job) or job.message and places.leave_stream(job)
  if fields then
    places.keep(job, fields, places.ttl_of(fields))
  else
    fields = places.kept(job)
    call('EXPIRE', places.payload_of(job), places.ttl_of(fields))
  end
  return fields
end

local function tell_workers(job)
  local message = cjson.encode({ type = 'cancel', jobId = job.id, dispatchId = job.dispatch, by = 'store' })
  call('PUBLISH', K.queue .. ':control', message)
end

local function cancel(job)
  if job.status == 'cancelled' then
    return by ~= 'refs'
  elseif not jobs.is_unfinished(job.status) or only_unstarted and job.status == 'running'
    or until_iso ~= '' and (job.has.createdAt or '') > until_iso then
    return false
  end
  local was_running = job.status == 'running'
  local fields = keep_arguments(job)
  local ttl = places.ttl_of(fields)
  for _, kind in ipairs({ K.scheduled, K.delayed, K.waiting }) do
    call('ZREM', kind, job.ref)
  end
  local name = places.name_in(fields)
  call('EXPIRE', K.result .. job.tail, ttl)
  places.finish(job, 'cancelled', ttl, nil, 'name', name or '')
  if call('ZSCORE', K.leases, job.ref) then
    -- The record outlives the code that may still run.
    call('EXPIRE', job.key, max(ttl, 2 * floor(lease / 1000) + 60))
    tell_workers(job)
  elseif was_running then
    -- Nobody holds it.
    places.close_entry(job)
    places.unlock(job)
  end
  if job.has.overlap and not call('ZSCORE', K.leases, job.ref)
    and call('LINDEX', K.overlap .. ':' .. job.id, 0) == job.ref then
    -- Whoever waits behind another stays in the line and is dropped at its turn: taking it out of the middle is slow.
    places.leave_line(job, 0)
  end
  return true
end

local function cancel_ref(ref)
  local job = jobs.read(ref)
  if by == 'foreign' and (not job.status or job.has.jobId and not job.has.adopted) then
    call('SET', K.cancelled .. ':' .. job.dispatch, '1', 'EX', status_ttl)
    return true
  end
  return cancel(job)
end

-- The refs that an id stands for.
local function refs_of(id)
  local refs = {}
  local function add(job_id, dispatch)
    if call('EXISTS', K.status .. ':' .. job_id .. ':' .. dispatch) == 1 then
      refs[#refs + 1] = dispatch .. ':' .. job_id
    end
  end
  if not find(id, ':', 1, true) then
    local job_id = call('GET', K.dispatch .. ':' .. id)
    if job_id then
      add(job_id, id)
    end
    if sub(id, 1, 9) == 'dispatch_' then
      add('job_' .. sub(id, 10), id)
    end
  end
  if #refs == 0 then
    for _, dispatch in ipairs(call('ZREVRANGE', K.jobs .. ':' .. id, 0, MOST)) do
      add(id, dispatch)
    end
    if sub(id, 1, 4) == 'job_' then
      add(id, 'dispatch_' .. sub(id, 5))
    end
  end
  return refs
end

return core.conclude(function()
  core.allow_when_full()
  if ARGV[8] == '1' and call('EXISTS', K.meta) == 1 then
    call('HSET', K.meta, 'touched', now)
  end
  local answers = {}
  for at = 12, #ARGV do
    local refs, is_any = by == 'ids' and refs_of(ARGV[at]) or { ARGV[at] }, false
    for _, ref in ipairs(refs) do
      if by == 'ids' then
        -- Who names a job is told what is wrong with it.
        is_any = cancel_ref(ref) or is_any
      else
        is_any = places.attempt(cancel_ref, ref) or is_any
      end
    end
    answers[#answers + 1] = #refs > MOST and '+' or is_any and '1' or '0'
  end
  return table.concat(answers)
end)
