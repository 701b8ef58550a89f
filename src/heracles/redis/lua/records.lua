-- All that is known of dispatches.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] 'id': a dispatch id, or a job id for its latest dispatch; 'refs': dispatches by ref
-- ARGV[9…] ids or refs
-- returns for each '' or: job id, dispatch id, fields of the status hash, fields of the entry or '', long text or ''

local function latest_of(id)
  -- The records of some may have expired before they left the index.
  local candidates = call('ZREVRANGE', K.jobs .. ':' .. id, 0, 9)
  if sub(id, 1, 4) == 'job_' then
    candidates[#candidates + 1] = 'dispatch_' .. sub(id, 5)
  end
  for _, candidate in ipairs(candidates) do
    if call('EXISTS', K.status .. ':' .. id .. ':' .. candidate) == 1 then
      return candidate .. ':' .. id
    end
  end
end

local function ref_of(id)
  if not find(id, ':', 1, true) then
    local twin = sub(id, 1, 9) == 'dispatch_' and 'job_' .. sub(id, 10)
    for _, job_id in ipairs({ call('GET', K.dispatch .. ':' .. id) or twin, twin or nil }) do
      if job_id and call('EXISTS', K.status .. ':' .. job_id .. ':' .. id) == 1 then
        return id .. ':' .. job_id
      end
    end
  end
  return latest_of(id)
end

local function record(name)
  local ref = ARGV[8] == 'refs' and name or ref_of(name)
  local job = ref and jobs.read(ref)
  if not job or not job.status then
    return ''
  end
  local flat = {}
  for field, value in pairs(job.has) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  local entry = places.kept(job) or places.entry_of(job) or ''
  return { job.id, job.dispatch, flat, entry, call('GET', K.result .. job.tail) or '' }
end

return core.conclude(function()
  local answers = {}
  for at = 9, #ARGV do
    answers[#answers + 1] = places.attempt(record, ARGV[at]) or ''
  end
  return answers
end)
