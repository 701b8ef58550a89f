-- Applies a worker's reports, makes ready what is due, reclaims what has outlived its lease, and starts jobs.
--
-- KEYS, ARGV[1..7]: see core.lua
-- ARGV[8] worker id
-- ARGV[9] consumer
-- ARGV[10] session: the incarnation of the worker
-- ARGV[11] slots: the most jobs to start; -1 to make ready and reclaim only
-- ARGV[12] '1': one job may be started that may have taken workers down
-- ARGV[13] '1': a job that fails by the store's decision pauses the queue
-- ARGV[14…] for each report: job id, dispatch id, token, kind, name, result, error, traceback, delay in ms,
--   overlap delay in ms, ttl in s, '1' if still running, '1' if the queue is to be paused; '' where there is none
-- returns paused, ms until something is due or -1, verdicts (a letter each: applied, lost, cancelled), now in epoch ms,
--   started: priority, entry id, fields, token, retries, deliveries, createdAt, error or '', unknownSince or '',
--   foreign entries: priority, entry id, fields; how many jobs were reclaimed; what was
--   wrong with single jobs

local STRIDE = 13
local FIRST_REPORT = 14
local MOST_PROMOTED, MOST_RECLAIMED = 100, 50

return core.conclude(function()
  core.allow_when_full()
  -- What became due before these reports is ready before what they make ready.
  local is_more = places.promote(MOST_PROMOTED)
  local verdicts = {}
  for at = FIRST_REPORT, #ARGV, STRIDE do
    verdicts[#verdicts + 1] = places.attempt(reports.apply, at) or 'l'
  end
  core.settle()
  local reclaimed = 0
  if slots ~= 0 then
    -- A retry without a delay is ready at once.
    is_more = places.promote(MOST_PROMOTED) or is_more
    reclaimed = reclaiming.reclaim(MOST_RECLAIMED)
    is_more = is_more or reclaimed >= MOST_RECLAIMED
  end
  local is_paused = call('HGET', K.meta, 'paused') == '1'
  if slots > 0 and not is_paused then
    is_more = starting.start_jobs() or is_more
  end
  local due = min(places.next_due(), starting.next_foreign())
  due = due == math.huge and -1 or max(due - now, 0)
  local is_full = #started + #foreign >= slots
  if is_more or slots > 0 and is_full then
    due = 0
  end
  if is_paused then
    wakes = false
  elseif slots > 0 then
    -- Whoever is not full comes back by itself.
    wakes = is_full
  end
  return { is_paused and 1 or 0, due, table.concat(verdicts), now, started, foreign, reclaimed, faults }
end)
