-- Every statement of the transport. A name stands above each; parameters are named. Lists of ids travel as JSON arrays,
-- and what has a row of VALUES with question marks is run with that row repeated for each job (its other parameters
-- stand before them, by position too), so that a batch is one statement or a few: each hands the interpreter's lock to
-- other threads once, and running one for each row takes twice the time.

-- ------------------------------------------------------------------------------------------------------ connection

-- name: begin_write
-- Always IMMEDIATE: a deferred transaction that writes after reading can fail in a way that waiting does not cure.
BEGIN IMMEDIATE

-- name: begin_read
BEGIN

-- name: commit
COMMIT

-- name: rollback
ROLLBACK

-- name: application_id
PRAGMA application_id

-- name: schema_version
PRAGMA user_version

-- name: journal_mode
PRAGMA journal_mode

-- name: use_wal
PRAGMA journal_mode = WAL

-- name: sync_at_checkpoints
-- What has to survive a loss of power is synced after its commit.
PRAGMA synchronous = NORMAL

-- name: bound_log
-- A log that a long reader let grow is cut back to 64 MiB at the next checkpoint.
PRAGMA journal_size_limit = 67108864

-- name: checkpoint_late
-- Pages. Whoever commits beyond them folds the log into the file, while its caller waits: some milliseconds, and 50 to
-- 100 where the disk is busy. At the usual 1000 that was one job in 30 of those that come one at a time, and pages that
-- most transactions write went into the file four times as often.
PRAGMA wal_autocheckpoint = 4000

-- name: temporary_in_memory
PRAGMA temp_store = MEMORY

-- name: check_pages
PRAGMA quick_check(1)

-- name: table_count
SELECT COUNT(*) FROM sqlite_master

-- name: name_store
INSERT INTO store (id) SELECT :id WHERE NOT EXISTS (SELECT 1 FROM store)

-- name: store_id
SELECT id FROM store

-- --------------------------------------------------------------------------------------------------------- queues

-- name: queue
SELECT
    id, name, paused, draining, pending, running, scheduled_for_retry, completed, failed, cancelled, last_place,
    last_change
FROM queues WHERE name = :name

-- name: add_queue
INSERT INTO queues (name) VALUES (:name) ON CONFLICT (name) DO NOTHING

-- name: save_queue
UPDATE queues SET
    paused = :paused, draining = :draining, pending = :pending, running = :running,
    scheduled_for_retry = :scheduled_for_retry, completed = :completed, failed = :failed, cancelled = :cancelled,
    last_place = :last_place, last_change = :last_change
WHERE id = :id

-- name: queue_names
SELECT name FROM queues ORDER BY name

-- name: add_changes
-- There are some already only where somebody has set their number back.
INSERT INTO changes (id, body) VALUES ((:queue << 40) + :last, :body)
ON CONFLICT (id) DO UPDATE SET body = excluded.body

-- name: drop_old_changes
DELETE FROM changes WHERE id > (:queue << 40) AND id <= (:queue << 40) + :last

-- name: changes_after
SELECT id & ((1 << 40) - 1), body FROM changes
WHERE id > (:queue << 40) + :after AND id < ((:queue + 1) << 40) ORDER BY id LIMIT :limit

-- --------------------------------------------------------------------------------------------------------- storing

-- name: known_dispatch
SELECT id, job_id, expires_ms, state FROM jobs WHERE queue = :queue AND dispatch_id = :dispatch_id

-- name: add_ready_jobs
-- What has a row already is left as it is. Each value that is handed over costs about 0.2 µs, so that most dispatches,
-- which are ready and have no options, go this way: their places follow their ids. Their ids are named unless they are a
-- generated pair. The room is for what a start writes.
INSERT INTO jobs (
    queue, created_ms, place, status, state, no_overlap, room, id, job_id, dispatch_id, name, priority, is_named
)
SELECT
    ?, ?, ? + column1, 'pending', 0, 0, zeroblob(80), column1, column2, column3, column4, column5,
    NOT (substr(column2, 1, 4) = 'job_' AND column3 = 'dispatch_' || substr(column2, 5))
FROM (VALUES (?, ?, ?, ?, ?)) WHERE TRUE
ON CONFLICT (queue, dispatch_id) DO NOTHING

-- name: add_jobs
-- The same for all others.
INSERT INTO jobs (
    queue, created_ms, status, room, id, job_id, dispatch_id, name, priority, is_named, state, no_overlap, place,
    due_ms, line, scheduled_ms, overlap_delay_ms, status_ttl_s
)
SELECT
    ?, ?, 'pending', zeroblob(80), column1, column2, column3, column4, column5,
    NOT (substr(column2, 1, 4) = 'job_' AND column3 = 'dispatch_' || substr(column2, 5)),
    column6, column7, column8, column9, column10, column11, column12, column13
FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) WHERE TRUE
ON CONFLICT (queue, dispatch_id) DO NOTHING

-- name: add_entries
INSERT INTO entries (id, envelope) VALUES (?, ?)

-- name: ids_from
SELECT id FROM jobs WHERE id >= :id

-- name: next_id
SELECT MAX(
    (SELECT COALESCE(MAX(id), 0) FROM jobs),
    (SELECT COALESCE(MAX(id), 0) FROM entries)
) + 1

-- -------------------------------------------------------------------------------------------------------- starting

-- name: due_jobs
SELECT id, due_ms, no_overlap, line FROM jobs
WHERE queue = :queue AND due_ms <= :now ORDER BY due_ms LIMIT :limit

-- name: promote
UPDATE jobs SET state = 0, place = due_ms * 1000000, due_ms = NULL
WHERE id IN (SELECT value FROM json_each(:ids))

-- name: ready_jobs
SELECT
    jobs.id, envelope, status, token, retries, deliveries, created_ms, started_ms, error, unknown_since_ms
FROM jobs LEFT JOIN entries ON entries.id = jobs.id
WHERE jobs.queue = :queue AND state = 0 ORDER BY jobs.priority, place LIMIT :limit

-- name: start
UPDATE jobs SET
    status = 'running', state = 4, token = token + 1, deliveries = deliveries + 1, started_ms = :now,
    updated_ms = :now, lease_ms = :lease_ms, worker = :worker, consumer = :consumer, room = NULL
WHERE id IN (SELECT value FROM json_each(:ids))

-- name: set_aside
UPDATE jobs SET state = 2, due_ms = :due_ms, place = NULL WHERE id IN (SELECT value FROM json_each(:ids))

-- name: any_ready
SELECT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_ready WHERE queue = :queue AND state = 0)

-- name: first_times
SELECT
    (SELECT MIN(due_ms) FROM jobs INDEXED BY jobs_waiting WHERE queue = :queue AND due_ms IS NOT NULL),
    (SELECT MIN(lease_ms) FROM jobs INDEXED BY jobs_held WHERE queue = :queue AND lease_ms IS NOT NULL)

-- name: ended_leases
SELECT * FROM job_rows WHERE queue = :queue AND lease_ms <= :now ORDER BY lease_ms LIMIT :limit

-- name: held_deliveries
SELECT
    jobs.id, envelope, status, token, retries, deliveries, created_ms, started_ms, error, unknown_since_ms
FROM jobs JOIN entries ON entries.id = jobs.id
WHERE jobs.queue = :queue AND lease_ms IS NOT NULL AND consumer = :consumer ORDER BY started_ms

-- ------------------------------------------------------------------------------------------------- changes of state

-- name: job_by_id
SELECT * FROM job_rows WHERE id = :id

-- name: jobs_by_id
SELECT * FROM job_rows WHERE id IN (SELECT value FROM json_each(:ids))

-- name: job_by_dispatch
SELECT * FROM job_rows WHERE queue = :queue AND dispatch_id = :dispatch_id

-- name: save_job
UPDATE jobs SET
    status = :status, state = :state, retries = :retries, token = :token, deliveries = :deliveries, place = :place,
    due_ms = :due_ms, lease_ms = :lease_ms, line = :line, scheduled_ms = :scheduled_ms,
    unknown_since_ms = :unknown_since_ms, reported = :reported, released_token = :released_token,
    reclaimed = :reclaimed, updated_ms = :now
WHERE id = :id

-- name: save_error
UPDATE jobs SET error = :error, traceback = :traceback, name = COALESCE(name, :name) WHERE id = :id

-- name: running_jobs
-- Those that end without a further look once their tokens were compared.
SELECT id, dispatch_id, token, priority, status_ttl_s FROM jobs
WHERE id IN (SELECT value FROM json_each(:ids)) AND status = 'running' AND line IS NULL

-- name: complete_jobs
-- Of what a running job has not (a line, a due time) nothing is written: each index costs that is looked at.
UPDATE jobs SET
    completed_ms = ?, updated_ms = ?, status = 'completed', state = 5, expires_ms = ended.column2,
    result = ended.column3, reported = token || ':completed', error = NULL, traceback = NULL,
    lease_ms = NULL, deliveries = 0, place = NULL, unknown_since_ms = NULL, reclaimed = NULL
FROM (VALUES (?, ?, ?)) AS ended WHERE id = ended.column1

-- name: complete_alike
-- The same for jobs with one result, that of most.
UPDATE jobs SET
    completed_ms = :now, updated_ms = :now, status = 'completed', state = 5, expires_ms = :expires_ms,
    result = :result, reported = token || ':completed', error = NULL, traceback = NULL,
    lease_ms = NULL, deliveries = 0, place = NULL, unknown_since_ms = NULL, reclaimed = NULL
WHERE id IN (SELECT value FROM json_each(:ids))

-- name: finish_jobs
UPDATE jobs SET
    completed_ms = ?, updated_ms = ?, status = ended.column2, state = ended.column3, token = ended.column4,
    lease_ms = ended.column5, line = ended.column6, expires_ms = ended.column7, reported = ended.column8,
    released_token = ended.column9, error = ended.column10, traceback = ended.column11, result = ended.column12,
    deliveries = 0, place = NULL, due_ms = NULL, unknown_since_ms = NULL, reclaimed = NULL
FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) AS ended WHERE id = ended.column1

-- name: save_reclaimed
UPDATE jobs SET deliveries = MAX(deliveries - 1, 0), reclaimed = :reclaimed WHERE id = :id

-- ---------------------------------------------------------------------------------------------------- overlap lines

-- name: first_in_line
SELECT * FROM job_rows WHERE queue = :queue AND job_id = :job_id AND line IS NOT NULL ORDER BY line LIMIT 1

-- name: cooldown
SELECT until_ms FROM cooldowns WHERE queue = :queue AND job_id = :job_id AND until_ms > :now

-- name: cool_down
INSERT INTO cooldowns (queue, job_id, until_ms) VALUES (:queue, :job_id, :until_ms)
ON CONFLICT (queue, job_id) DO UPDATE SET until_ms = excluded.until_ms

-- name: drop_cooldowns
DELETE FROM cooldowns WHERE queue = :queue AND until_ms <= :now

-- --------------------------------------------------------------------------------------------------------- workers

-- name: save_worker
INSERT INTO workers (consumer, worker, status, queues, running, seen_ms)
VALUES (:consumer, :worker, :status, :queues, :running, :now)
ON CONFLICT (consumer) DO UPDATE SET
    worker = excluded.worker, status = excluded.status, queues = excluded.queues, running = excluded.running,
    seen_ms = excluded.seen_ms

-- name: drop_worker
DELETE FROM workers WHERE consumer = :consumer

-- name: drop_dead_workers
DELETE FROM workers WHERE seen_ms <= :seen_ms

-- name: live_workers
SELECT worker, status, queues, running, seen_ms FROM workers WHERE seen_ms > :seen_ms ORDER BY worker, seen_ms

-- name: renew
UPDATE jobs SET lease_ms = :lease_ms WHERE id IN (SELECT value FROM json_each(:ids))

-- --------------------------------------------------------------------------------------------------------- control

-- name: open_of_job
SELECT * FROM job_rows WHERE id IN (
    SELECT id FROM jobs INDEXED BY jobs_named_open
    WHERE queue = :queue AND job_id = :job_id AND is_named = 1 AND completed_ms IS NULL AND id > :after
    ORDER BY id LIMIT :limit
) ORDER BY id

-- name: latest_of_job
-- The kinds of dispatches are asked one by one, each for the end of its own index. A record that has expired is none,
-- whether it was removed yet or not.
SELECT dispatch_id, status FROM jobs WHERE id = (
    SELECT MAX(id) FROM (
        SELECT MAX(id) AS id FROM jobs INDEXED BY jobs_named_open
        WHERE queue = :queue AND job_id = :job_id AND is_named = 1 AND completed_ms IS NULL
        UNION ALL
        SELECT MAX(id) FROM jobs INDEXED BY jobs_named_closed
        WHERE queue = :queue AND job_id = :job_id AND is_named = 1 AND completed_ms IS NOT NULL AND expires_ms > :now
        UNION ALL
        SELECT id FROM jobs
        WHERE queue = :queue AND dispatch_id = :pair AND job_id = :job_id AND COALESCE(expires_ms > :now, TRUE)
    )
)

-- name: unfinished_jobs
SELECT id FROM jobs INDEXED BY jobs_unfinished
WHERE queue = :queue AND completed_ms IS NULL AND id < :before ORDER BY id DESC LIMIT :limit

-- name: last_id
SELECT COALESCE(MAX(id), 0) FROM jobs

-- --------------------------------------------------------------------------------------------------------- removal

-- name: add_finished_entries
INSERT INTO streams (queue, priority, finished) VALUES (:queue, :priority, :count)
ON CONFLICT (queue, priority) DO UPDATE SET finished = finished + excluded.finished
RETURNING finished

-- name: finished_entries
SELECT priority, finished FROM streams WHERE queue = :queue ORDER BY priority

-- name: add_ending
INSERT INTO endings (queue, priority, status, ended_ms, expires_ms, jobs, size, trimmed)
VALUES (:queue, :priority, :status, :ended_ms, :expires_ms, :ids, :size, :trimmed)

-- name: save_ending
UPDATE endings SET expires_ms = :expires_ms, jobs = :ids, size = :size, trimmed = :trimmed WHERE id = :id

-- name: endings_trimmed
UPDATE endings SET trimmed = size WHERE id IN (SELECT value FROM json_each(:ids))

-- name: drop_endings
DELETE FROM endings WHERE id IN (SELECT value FROM json_each(:ids))

-- name: endings_in_stream
SELECT id, priority, status, ended_ms, expires_ms, jobs, size, trimmed FROM endings INDEXED BY endings_streams
WHERE queue = :queue AND priority = :priority AND trimmed < size AND ended_ms <= :until ORDER BY id

-- name: expired_endings
SELECT id, priority, status, ended_ms, expires_ms, jobs, size, trimmed FROM endings
WHERE queue = :queue AND expires_ms <= :now ORDER BY expires_ms

-- name: endings_expiring_at
SELECT id, priority, status, ended_ms, expires_ms, jobs, size, trimmed FROM endings
WHERE queue = :queue AND expires_ms = :expires_ms

-- name: endings_with_records
SELECT id, priority, status, ended_ms, expires_ms, jobs, size, trimmed FROM endings INDEXED BY endings_records
WHERE queue = :queue AND status = :status AND expires_ms IS NOT NULL AND id > :after ORDER BY id

-- name: held_jobs
SELECT id FROM jobs WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 4

-- name: drop_entries
DELETE FROM entries WHERE id IN (SELECT value FROM json_each(:ids))

-- name: drop_jobs
DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(:ids))

-- name: drop_queue_cooldowns
DELETE FROM cooldowns WHERE queue = :queue

-- name: count_finished
SELECT COUNT(*)
FROM endings INDEXED BY endings_records, json_each(endings.jobs) AS ended JOIN jobs ON jobs.id = ended.value
WHERE endings.queue = :queue AND endings.status = :status AND endings.expires_ms IS NOT NULL AND ended_ms <= :until
    AND jobs.state = 5

-- name: count_entries
SELECT COALESCE(SUM(size - trimmed), 0) FROM endings INDEXED BY endings_streams
WHERE queue = :queue AND priority = :priority AND trimmed < size AND ended_ms <= :until

-- name: count_records
SELECT COUNT(*) FROM jobs INDEXED BY jobs_dispatch WHERE queue = :queue

-- --------------------------------------------------------------------------------------------------------- reading

-- name: record_by_dispatch
SELECT * FROM job_records WHERE queue = :queue AND dispatch_id = :dispatch_id

-- name: newest_pending
SELECT * FROM job_records
WHERE queue = :queue AND status = 'pending' AND completed_ms IS NULL ORDER BY id DESC LIMIT :limit

-- name: newest_running
SELECT * FROM job_records
WHERE queue = :queue AND status = 'running' AND lease_ms IS NOT NULL ORDER BY id DESC LIMIT :limit

-- name: newest_retrying
SELECT * FROM job_records WHERE queue = :queue AND status = 'scheduled_for_retry' ORDER BY id DESC LIMIT :limit

-- name: newest_endings
SELECT jobs FROM endings INDEXED BY endings_records
WHERE queue = :queue AND status = :status AND expires_ms IS NOT NULL AND expires_ms > :now ORDER BY id DESC

-- name: records_by_id
SELECT * FROM job_records WHERE id IN (SELECT value FROM json_each(:ids))

-- name: count_scheduled
SELECT COUNT(*) FROM jobs WHERE queue = :queue AND due_ms > :now AND state = 1
