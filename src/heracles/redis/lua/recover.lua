-- What a worker's session was given in a stream beyond what it knows of, in pages.
--
-- KEYS, ARGV[1..7]: see state.lua
-- ARGV[8] consumer
-- ARGV[9] session
-- ARGV[10] priority
-- ARGV[11] entry id to begin at
-- ARGV[12] the most entries to look at
-- ARGV[13…] the refs that it knows of
-- returns the entry id to go on after or '', and jobs as exchange.lua returns those that are not plain; startedAt

local consumer, session, priority = ARGV[8], ARGV[9], tonumber(ARGV[10])

local found = {}

local function look(message, fields, id, dispatch)
  local job = jobs.of(id, dispatch)
  local has = job.has
  if (has.session or consumer) ~= session or job.message ~= message then
    return
  elseif job.status == 'running' then
    found[#found + 1] = { message, priority, has.createdAt or '', fields, job.token, job.retries, job.deliveries,
      { has.error or '', has.unknownSince or '' }, has.startedAt or '' }
  elseif not jobs.is_unfinished(job.status) then
    -- It has ended before the worker learnt of it, so no code of it runs.
    places.release(job, 0)
  end
end

return core.conclude(function()
  core.allow_when_full()
  local known = {}
  for at = 13, #ARGV do
    known[ARGV[at]] = true
  end
  local stream = core.stream_of(priority)
  local pending = redis.pcall('XPENDING', stream, group, ARGV[11], '+', ARGV[12], consumer)
  if pending.err then
    return { '', found }
  end
  for _, item in ipairs(pending) do
    local entry = call('XRANGE', stream, item[1], item[1])[1]
    local fields = entry and entry[2]
    local id, dispatch = fields and places.field_of(fields, 'jobId'), fields and places.field_of(fields, 'dispatchId')
    if id and dispatch and not find(dispatch, ':', 1, true) and not known[dispatch .. ':' .. id] then
      places.attempt(look, item[1], fields, id, dispatch)
    end
  end
  local last = pending[#pending]
  return { #pending >= tonumber(ARGV[12]) and last[1] or '', found }
end)
