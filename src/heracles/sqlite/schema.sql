-- The data model. One file is one store; every time is in epoch milliseconds by this machine's clock.
--
-- jobs.state says where a dispatch stands (heracles.sqlite.rows.State): 0 ready, 1 scheduled, 2 delayed, 3 blocked,
-- 4 held, 5 ended. Exactly one of these holds, and with it:
--   ready      place is set; the first by (priority, place) starts next
--   scheduled  due_ms is set; waits for its scheduled_for, outside its overlap line
--   delayed    due_ms is set; waits for a retry (outside its line), a cool-down or a pause (keeping its place in it)
--   blocked    line is set; a NO_OVERLAP dispatch behind another one of its job id
--   held       lease_ms is set; its code runs or may still run, also after its status has become final
--   ended      status is final and nothing of it runs
--
-- A row edited by hand may cost its own job, no other: where a queue could not go on with another type, a check refuses
-- it. In SQLite's order numbers stand before texts, and texts before blobs, so that one comparison says what a column
-- holds (NULL passes); typeof() takes five times as long. What is added to a time has a lower bound, so that sums fit.

CREATE TABLE IF NOT EXISTS store (
    -- A random name of this store, so that a reader notices when another one has taken its place.
    id TEXT PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS queues (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (name < x''),
    paused INTEGER NOT NULL DEFAULT 0 CHECK (paused < 9e18),
    draining INTEGER NOT NULL DEFAULT 0 CHECK (draining < 9e18),
    -- Unfinished: exact. Finished: totals since the queue was created or emptied.
    pending INTEGER NOT NULL DEFAULT 0 CHECK (pending < 9e18),
    running INTEGER NOT NULL DEFAULT 0 CHECK (running < 9e18),
    scheduled_for_retry INTEGER NOT NULL DEFAULT 0 CHECK (scheduled_for_retry < 9e18),
    completed INTEGER NOT NULL DEFAULT 0 CHECK (completed < 9e18),
    failed INTEGER NOT NULL DEFAULT 0 CHECK (failed < 9e18),
    cancelled INTEGER NOT NULL DEFAULT 0 CHECK (cancelled < 9e18),
    -- The highest place given out, and the number of status changes told.
    last_place INTEGER NOT NULL DEFAULT 0 CHECK (last_place < 9e18),
    last_change INTEGER NOT NULL DEFAULT 0 CHECK (typeof(last_change) = 'integer' AND last_change BETWEEN 0 AND 1e12)
);

CREATE TABLE IF NOT EXISTS jobs (
    -- Order of creation; higher than that of every job and entry there is.
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    job_id TEXT NOT NULL CHECK (job_id < x''),
    dispatch_id TEXT NOT NULL CHECK (dispatch_id < x''),
    -- Whether its ids are others than a generated pair.
    is_named INTEGER NOT NULL,
    name TEXT,
    status TEXT NOT NULL CHECK (
        -- The usual ones first; IN would take ten times as long.
        status = 'pending' OR status = 'running' OR status = 'completed' OR status = 'failed'
        OR status = 'cancelled' OR status = 'scheduled_for_retry'
    ),
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL CHECK (priority < 9e18),
    no_overlap INTEGER NOT NULL,
    retries INTEGER NOT NULL DEFAULT 0 CHECK (retries < 9e18),
    token INTEGER NOT NULL DEFAULT 0 CHECK (token < 9e18),
    -- Starts without a report in a row.
    deliveries INTEGER NOT NULL DEFAULT 0 CHECK (deliveries < 9e18),
    -- When it became ready, in millionths of a millisecond, made unique; kept while it runs.
    place INTEGER,
    due_ms INTEGER CHECK (due_ms < 1e15),
    lease_ms INTEGER CHECK (lease_ms < 9e18),
    -- Its place among the NO_OVERLAP dispatches of its job id that became ready and have not ended.
    line INTEGER,
    created_ms INTEGER NOT NULL CHECK (created_ms < 9e18),
    updated_ms INTEGER CHECK (updated_ms < 9e18),
    scheduled_ms INTEGER CHECK (scheduled_ms < 9e18),
    started_ms INTEGER CHECK (started_ms < 9e18),
    completed_ms INTEGER CHECK (completed_ms < 9e18),
    expires_ms INTEGER CHECK (expires_ms < 9e18),
    unknown_since_ms INTEGER CHECK (unknown_since_ms < 9e18),
    -- What the producer gave; NULL where the worker's code decides. The rest stands in the entry.
    overlap_delay_ms INTEGER CHECK (overlap_delay_ms < 1e15),
    status_ttl_s INTEGER CHECK (status_ttl_s < 1e15),
    worker TEXT,
    consumer TEXT CHECK (consumer < x''),
    -- The last report that was applied, as token:kind, and the token under which its code was last reported ended.
    reported TEXT CHECK (reported < x''),
    released_token INTEGER,
    -- The tokens that were reclaimed and whose workers have not been heard of again, comma-separated.
    reclaimed TEXT CHECK (reclaimed < x''),
    error TEXT,
    traceback TEXT,
    result BLOB CHECK (result >= ''),
    -- Bytes that a start gives free for what it writes. Rows are added to full pages: were they to grow then, each start
    -- would split pages, which takes longer than all else that it does.
    room BLOB
);

-- Each index costs about 1 µs for every row that enters or leaves it, so that most hold but the rows of one state.
CREATE UNIQUE INDEX IF NOT EXISTS jobs_dispatch ON jobs (queue, dispatch_id);
-- Of generated ids, job_X and dispatch_X, one names the other. The rest are in two halves, so that the unfinished
-- dispatches of a job id are found among any number of finished ones.
CREATE INDEX IF NOT EXISTS jobs_named_open ON jobs (queue, job_id) WHERE is_named = 1 AND completed_ms IS NULL;
CREATE INDEX IF NOT EXISTS jobs_named_closed ON jobs (queue, job_id) WHERE is_named = 1 AND completed_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_ready ON jobs (queue, priority, place) WHERE state = 0;
CREATE INDEX IF NOT EXISTS jobs_waiting ON jobs (queue, due_ms, state) WHERE due_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_held ON jobs (queue, lease_ms) WHERE lease_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_line ON jobs (queue, job_id, line) WHERE line IS NOT NULL;
-- By id, as every index is beyond its columns: the newest of a status, of the unfinished as a whole where most are
-- pending, or few.
CREATE INDEX IF NOT EXISTS jobs_unfinished ON jobs (queue) WHERE completed_ms IS NULL;
CREATE INDEX IF NOT EXISTS jobs_retrying ON jobs (queue) WHERE status = 'scheduled_for_retry';

-- What was dispatched, as one value that nothing here looks into (heracles.model.Envelope in MessagePack). Apart from
-- jobs: a status change rewrites its whole row, and arguments may be long.
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    envelope BLOB NOT NULL
);

-- Which jobs have ended: one row for those that ended alike in one transaction, as indexes of single jobs would cost each
-- of them more than all else that its end does. Trimming, expiry, cleanup and lists of the finished go by these rows.
CREATE TABLE IF NOT EXISTS endings (
    -- Order of ending.
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    priority INTEGER NOT NULL CHECK (priority < 9e18),
    status TEXT NOT NULL,
    ended_ms INTEGER NOT NULL CHECK (ended_ms < 9e18),
    -- When their records do; NULL once those were removed and only entries are left.
    expires_ms INTEGER CHECK (expires_ms < 9e18),
    -- Their ids, a JSON array of that size. So many of them, from the first on, are no more among the finished entries of
    -- their stream; what FAILED or was CANCELLED keeps its entry all the same, as long as its record.
    jobs TEXT NOT NULL CHECK (json_type(jobs) = 'array'),
    size INTEGER NOT NULL CHECK (size < 9e18),
    trimmed INTEGER NOT NULL CHECK (trimmed < 9e18)
);
CREATE INDEX IF NOT EXISTS endings_streams ON endings (queue, priority) WHERE trimmed < size;
CREATE INDEX IF NOT EXISTS endings_records ON endings (queue, status) WHERE expires_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS endings_expiring ON endings (queue, expires_ms) WHERE expires_ms IS NOT NULL;

-- How many finished entries each priority of a queue has.
CREATE TABLE IF NOT EXISTS streams (
    queue INTEGER NOT NULL,
    priority INTEGER NOT NULL CHECK (priority < 9e18),
    finished INTEGER NOT NULL CHECK (finished < 9e18),
    PRIMARY KEY (queue, priority)
) WITHOUT ROWID;

-- Until when the next NO_OVERLAP dispatch of a job id has to wait.
CREATE TABLE IF NOT EXISTS cooldowns (
    queue INTEGER NOT NULL,
    job_id TEXT NOT NULL,
    until_ms INTEGER NOT NULL CHECK (until_ms < 1e15),
    PRIMARY KEY (queue, job_id)
) WITHOUT ROWID;

-- All status changes of one transaction in one row, as heracles.sqlite.telling writes them.
CREATE TABLE IF NOT EXISTS changes (
    -- The queue's id, and in the lower 40 bits the number of the last of these changes: rows are added at the end.
    id INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);

CREATE TABLE IF NOT EXISTS workers (
    consumer TEXT PRIMARY KEY,
    worker TEXT NOT NULL CHECK (worker < x''),
    status TEXT NOT NULL CHECK (status < x''),
    queues TEXT NOT NULL CHECK (json_type(queues) = 'array'),
    running TEXT NOT NULL CHECK (json_type(running) = 'array'),
    seen_ms INTEGER NOT NULL CHECK (seen_ms < 1e14)
) WITHOUT ROWID;

-- What a change of state has to know of a job, in the order of heracles.sqlite.rows.JobRow.
CREATE VIEW IF NOT EXISTS job_rows AS
SELECT
    id, job_id, dispatch_id, status, state, priority, no_overlap, retries, token, deliveries, place, due_ms, lease_ms,
    line, scheduled_ms, unknown_since_ms, overlap_delay_ms, status_ttl_s, consumer, reported, released_token,
    reclaimed, expires_ms,
    queue
FROM jobs;

-- What a reader gets, in the order of heracles.sqlite.rows.RecordRow.
CREATE VIEW IF NOT EXISTS job_records AS
SELECT
    jobs.id, job_id, dispatch_id, name, envelope, jobs.priority, scheduled_ms, status, token, retries, created_ms,
    updated_ms, started_ms, completed_ms, worker, error, traceback, result,
    jobs.queue, expires_ms, lease_ms
FROM jobs LEFT JOIN entries ON entries.id = jobs.id;
