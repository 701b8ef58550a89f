-- Removes records, and the entries of their jobs.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] 'finished': jobs that ended before the time; 'all': jobs that were dispatched before it
-- ARGV[9] the time, ISO 8601
-- ARGV[10] '1': entries stay
-- ARGV[11] '1': only count
-- ARGV[12…] refs
-- returns how many records and how many entries went or would go

local what, before, keeps_entries, only_counts = ARGV[8], ARGV[9], ARGV[10] == '1', ARGV[11] == '1'

local function is_to_go(job)
  if what == 'all' then
    return job.has.status ~= nil and (job.has.createdAt or '') <= before
  elseif not job.status then
    return false
  end
  local has_ended = not jobs.is_unfinished(job.status) and not call('ZSCORE', K.leases, job.ref)
  return has_ended and (job.has.completedAt or '') < before
end

local function remove(job)
  call('UNLINK', job.key, places.payload_of(job), K.result .. job.tail)
  local by_dispatch = K.dispatch .. ':' .. job.dispatch
  if call('GET', by_dispatch) == job.id then
    call('DEL', by_dispatch)
  end
  call('ZREM', K.jobs .. ':' .. job.id, job.dispatch)
  if what == 'all' then
    call('DEL', K.overlap .. ':' .. job.id, K.lock .. ':' .. job.id, K.cool .. ':' .. job.id)
  end
end

local records, entries = 0, 0

local function sweep(ref)
  local job = jobs.read(ref)
  if not is_to_go(job) then
    return
  end
  records = records + 1
  local has_entry = not keeps_entries and job.message
  if has_entry and only_counts then
    entries = entries + (places.entry_of(job) and 1 or 0)
  elseif has_entry then
    call('XACK', core.stream_of(job.priority), group, job.message)
    entries = entries + call('XDEL', core.stream_of(job.priority), job.message)
  end
  if not only_counts then
    remove(job)
  end
end

return core.conclude(function()
  core.allow_when_full()
  for at = 12, #ARGV do
    places.attempt(sweep, ARGV[at])
  end
  return { records, entries }
end)
