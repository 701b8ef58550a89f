-- The unfinished jobs of one stream, in pages, from the oldest or from the newest entry on.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] priority
-- ARGV[9] entry id to begin at
-- ARGV[10] entry id to end at: a lower one than the first walks backwards
-- returns the entry id to go on after or '', unfinished jobs (createdAt, ref, status),
--   entries of other programs that nobody has adopted (priority, entry id, fields)

local STEP = 200
local priority = tonumber(ARGV[8])
local found, foreign = {}, {}

local function look(message, fields)
  local id, dispatch = places.field_of(fields, 'jobId'), places.field_of(fields, 'dispatchId')
  local kind = places.field_of(fields, 'type') or 'job:process'
  if id and dispatch and dispatch ~= '' and not find(dispatch, ':', 1, true) and kind == 'job:process' then
    local job = jobs.of(id, dispatch)
    if not job.status or job.has.jobId and not job.has.adopted then
      foreign[#foreign + 1] = { priority, message, fields }
    elseif jobs.is_unfinished(job.status)
      and (job.message == message or not job.message and places.is_entered(job) and not places.has_left(job)) then
      found[#found + 1] = { job.has.createdAt or '', job.ref, job.status }
    end
  end
end

return core.conclude(function()
  local is_forward = ARGV[10] ~= '-'
  local command = is_forward and 'XRANGE' or 'XREVRANGE'
  local entries = call(command, core.stream_of(priority), ARGV[9], ARGV[10], 'COUNT', STEP)
  for _, entry in ipairs(entries) do
    places.attempt(look, entry[1], entry[2])
  end
  return { #entries == STEP and entries[STEP][1] or '', found, foreign }
end)
