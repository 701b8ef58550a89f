-- Applies a worker's reports, makes ready what is due, reclaims what has outlived its lease, and starts jobs.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] worker id
-- ARGV[9] consumer
-- ARGV[10] session: the incarnation of the worker
-- ARGV[11] slots: the most jobs to start; -1 to make ready and reclaim only
-- ARGV[12] '1': one job may be started that may have taken workers down
-- ARGV[13] '1': a job that fails by the store's decision pauses the queue
-- ARGV[14…] for each report: of a plain one what its ids share, receipt, name, result: a first run has completed, its ids
--   are a pair, its ttl is status_ttl and it has no overlap delay; of any other '', kind, job id, dispatch id, token,
--   receipt, name, ttl in s, overlap delay in ms; of a completed job then its result, of any other error, traceback,
--   delay in ms, '1' if still running, '1' if the queue is to be paused; '' where there is none
-- returns paused, ms until something is due or -1, verdicts (a letter each: applied, lost, cancelled), now in epoch ms,
--   started ones, eight values each: entry id, priority, createdAt, and of a plain job four fields of its entry (job,
--   args, jobId, dispatchId) and '' or its further fields, of another one all fields, token, retries, deliveries, and
--   error or '' with unknownSince or ''; foreign entries: priority, entry id, fields; how many jobs were reclaimed; what
--   was wrong with single jobs; 1 if a group of consumers had to be made anew. Lists are '' where they are empty

local FIRST_REPORT, PLAIN_STRIDE, COMPLETED_STRIDE, STRIDE = 14, 4, 10, 14
local MOST_PROMOTED, MOST_RECLAIMED = 100, 50
-- Whether anything waits for its time; whether anything was given back, or is another program's.
local has_later, has_odd = false, false
-- After a group was lost, finished entries are read again: a bound for one call.
local MOST_LOOKED_AT = 500
-- Entries in one read, and bytes of arguments in one call.
local MOST_READ, MOST_BYTES = 50, 8000000

-- One command finds that most queues have nothing there.
local function look()
  local count = call('EXISTS', K.scheduled, K.delayed, K.returned, K.foreign)
  has_odd = count > 0 and call('EXISTS', K.returned, K.foreign) > 0
  has_later = count > 0
end

-- What the law has done may have put something there.
local function may_have_later()
  return has_later or made_law ~= nil
end

local function may_have_odd()
  return has_odd or made_law ~= nil
end

local function promote()
  return may_have_later() and core.next_due() <= now and law().places.promote(MOST_PROMOTED)
end

-- Each empty list in an answer costs nearly as much as a command.
local function unless_empty(list)
  return #list > 0 and list or ''
end

local function apply_reports()
  local verdicts, at, last = {}, FIRST_REPORT, #ARGV
  local status = K.status .. ':'
  while at <= last do
    local shared, is_applied, stride = ARGV[at], false, STRIDE
    if shared ~= '' then
      is_applied = complete_plain(status .. 'job_' .. shared .. ':dispatch_' .. shared,
        'dispatch_' .. shared .. ':job_' .. shared, ARGV[at + 1], ARGV[at + 2], ARGV[5], 0, ARGV[at + 3])
      stride = PLAIN_STRIDE
    elseif ARGV[at + 1] == 'completed' then
      local id, dispatch = ARGV[at + 2], ARGV[at + 3]
      is_applied = ARGV[at + 4] == '1' and complete_plain(status .. id .. ':' .. dispatch, dispatch .. ':' .. id,
        ARGV[at + 5], ARGV[at + 6], ARGV[at + 7], tonumber(ARGV[at + 8]), ARGV[at + 9])
      stride = COMPLETED_STRIDE
    end
    verdicts[#verdicts + 1] = is_applied and 'a' or law().reports.apply(at)
    at = at + stride
  end
  return table.concat(verdicts)
end

local function read(priority, count)
  local most = count == slots and ARGV[11] or count
  local answer = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', most, 'STREAMS',
    core.stream_of(priority), '>')
  if answer and answer.err then
    return law().starting.read_again(priority, count, answer)
  end
  return answer and answer[1][2] or {}
end

local bytes = 0

-- Each is started, or placed where another step finds it. No more are read than there are slots.
local function start_each(priority, entries)
  for _, entry in ipairs(entries) do
    -- Arguments are the fourth of an entry of ours.
    bytes = bytes + #(entry[2][4] or '')
    if not start_plain(priority, entry[1], entry[2]) then
      law().starting.attempt(priority, entry[1], entry[2])
    end
  end
end

-- Whether there may be more than was looked at.
local function start_jobs()
  local looked = 0
  local has_returned = may_have_odd() and call('EXISTS', K.returned) == 1
  if may_have_odd() then
    law().starting.retry_foreign()
  end
  for _, priority in ipairs(core.priorities()) do
    if has_returned then
      law().starting.start_returned(priority)
    end
    local wanted = slots - started_count - #foreign
    while wanted > 0 do
      local entries = read(priority, min(wanted, MOST_READ))
      local is_done, problem = pcall(start_each, priority, entries)
      if not is_done then
        law().starting.leave_to_next(priority, entries)
        error(problem, 0)
      end
      looked = looked + #entries
      if looked > MOST_LOOKED_AT or bytes > MOST_BYTES then
        return true
      end
      wanted = #entries < min(wanted, MOST_READ) and 0 or slots - started_count - #foreign
    end
  end
  return false
end

return core.conclude(function()
  core.allow_when_full()
  look()
  -- What became due before these reports is ready before what they make ready.
  local is_more = promote()
  local verdicts = apply_reports()
  core.settle()
  local reclaimed = 0
  if slots ~= 0 then
    -- A retry without a delay is ready at once.
    is_more = promote() or is_more
    local overdue = call('ZRANGEBYSCORE', K.leases, '-inf', now_text, 'LIMIT', '0', MOST_RECLAIMED)
    reclaimed = #overdue
    if reclaimed > 0 then
      law().reclaiming.reclaim(overdue)
      is_more = is_more or reclaimed >= MOST_RECLAIMED
    end
  end
  local is_paused = call('HGET', K.meta, 'paused') == '1'
  if slots > 0 and not is_paused then
    is_more = start_jobs() or is_more
  end
  local due = may_have_later() and core.next_due() or huge
  if may_have_odd() then
    due = min(due, law().starting.next_foreign())
  end
  due = due == huge and -1 or max(due - now, 0)
  local is_full = started_count + #foreign >= slots
  if is_more or slots > 0 and is_full then
    due = 0
  end
  if is_paused then
    wakes = false
  elseif slots > 0 then
    -- Whoever is not full comes back by itself.
    wakes = is_full
  end
  return { is_paused and 1 or 0, due, verdicts, now, unless_empty(started), unless_empty(foreign), reclaimed,
    unless_empty(faults), was_lost and 1 or 0 }
end)
