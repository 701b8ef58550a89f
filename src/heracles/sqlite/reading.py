"""What people see of the store: records, numbers, changes."""

import sqlite3
from collections.abc import Mapping, Sequence
from heapq import nlargest

import msgspec

from heracles.model import FINAL, Change, Changes, Gates, JobStatus, Overview, Record
from heracles.sqlite.endings import ids_in
from heracles.sqlite.pairs import paired_dispatch
from heracles.sqlite.queries import SQL
from heracles.sqlite.rows import QueueRow, RecordRow, record_of
from heracles.sqlite.telling import gap_at, told_in
from heracles.sqlite.turn import KEPT_CHANGES

#: Of each final status this many are listed.
_LISTED_FINISHED = 1000
#: What finds the newest jobs of each status that is not final.
_NEWEST: Mapping[JobStatus, str] = {
    JobStatus.PENDING: "newest_pending",
    JobStatus.RUNNING: "newest_running",
    JobStatus.SCHEDULED_FOR_RETRY: "newest_retrying",
}
#: Transactions whose changes one read returns.
_CHANGES_AT_ONCE = 50


def _queue(connection: sqlite3.Connection, name: str) -> QueueRow | None:
    row = connection.execute(SQL["queue"], {"name": name}).fetchone()
    return None if row is None else QueueRow(*row)


def find(connection: sqlite3.Connection, name: str, id: str, now_ms: int) -> Record | None:
    """By dispatch id, or the latest dispatch of a job id."""
    queue = _queue(connection, name)
    if queue is None:
        return None
    row = _record(connection, queue, id)
    if row is None:
        latest = connection.execute(
            SQL["latest_of_job"], {"queue": queue.id, "job_id": id, "pair": paired_dispatch(id), "now": now_ms}
        ).fetchone()
        row = None if latest is None else _record(connection, queue, latest[0])
    if row is None or _has_expired(row, now_ms):
        return None
    return record_of(row, name)


def _record(connection: sqlite3.Connection, queue: QueueRow, dispatch_id: str) -> RecordRow | None:
    row = connection.execute(SQL["record_by_dispatch"], {"queue": queue.id, "dispatch_id": dispatch_id}).fetchone()
    return None if row is None else RecordRow(*row)


def _has_expired(row: RecordRow, now_ms: int) -> bool:
    return row.expires_ms is not None and row.expires_ms <= now_ms


def page(
    connection: sqlite3.Connection, name: str, status: JobStatus | None, limit: int, now_ms: int
) -> tuple[Record, ...]:
    """The newest records, newest first."""
    queue = _queue(connection, name)
    if queue is None:
        return ()
    rows: list[RecordRow] = []
    for one in tuple(JobStatus) if status is None else (status,):
        rows += _newest(connection, queue, one, limit, now_ms)
    return tuple(record_of(row, name) for row in nlargest(limit, rows, key=lambda row: row.id))


def _newest(
    connection: sqlite3.Connection, queue: QueueRow, status: JobStatus, limit: int, now_ms: int
) -> list[RecordRow]:
    if status in FINAL:
        ids = nlargest(limit, _finished_last(connection, queue, status, now_ms))
        found = connection.execute(SQL["records_by_id"], {"ids": msgspec.json.encode(ids).decode()})
    else:
        found = connection.execute(SQL[_NEWEST[status]], {"queue": queue.id, "limit": limit})
    return [RecordRow(*row) for row in found]


def _finished_last(connection: sqlite3.Connection, queue: QueueRow, status: JobStatus, now_ms: int) -> list[int]:
    """The ids of the last that ended so, as many as are listed."""
    ids: list[int] = []
    rows = connection.execute(SQL["newest_endings"], {"queue": queue.id, "status": status.value, "now": now_ms})
    for (jobs,) in rows:
        ids += reversed(ids_in(jobs))
        if len(ids) >= _LISTED_FINISHED:
            break
    return ids[:_LISTED_FINISHED]


def overview(connection: sqlite3.Connection, name: str, now_ms: int) -> Overview:
    """The queue's numbers and gates."""
    queue = _queue(connection, name)
    if queue is None:
        return Overview(counts=dict.fromkeys(JobStatus, 0))
    scheduled = connection.execute(SQL["count_scheduled"], {"queue": queue.id, "now": now_ms}).fetchone()[0]
    gates = Gates(paused=bool(queue.paused), draining=bool(queue.draining))
    return Overview(counts=queue.counts, scheduled=scheduled, gates=gates)


def queue_names(connection: sqlite3.Connection) -> tuple[str, ...]:
    """All queues, sorted."""
    return tuple(name for (name,) in connection.execute(SQL["queue_names"]))


# ------------------------------------------------------------------------------------------------------------ changes


def changes(connection: sqlite3.Connection, name: str, cursor: str | None, now_ms: int) -> Changes:
    """The changes after the cursor, without waiting. A cursor names the store, so that another store is a gap."""
    store = connection.execute(SQL["store_id"]).fetchone()[0]
    queue = _queue(connection, name)
    last = 0 if queue is None else queue.last_change
    if cursor is None:
        return Changes(cursor=f"{store}:{last}")
    seen = _seen(cursor, store, last)
    oldest = max(last - KEPT_CHANGES, 0)
    gap = () if seen is not None and seen >= oldest else (gap_at(now_ms),)
    after = oldest if gap or seen is None else seen
    told, reached = _told_after(connection, queue, after, now_ms)
    return Changes(cursor=f"{store}:{reached}", changes=(*gap, *told))


def _seen(cursor: str, store: str, last: int) -> int | None:
    """How many changes the reader has seen; None where it was of another store."""
    of_store, _, number = cursor.rpartition(":")
    if of_store != store or not (number.isascii() and number.isdigit()) or int(number) > last:
        return None
    return int(number)


def _told_after(
    connection: sqlite3.Connection, queue: QueueRow | None, after: int, now_ms: int
) -> tuple[Sequence[Change], int]:
    if queue is None:
        return (), after
    found = connection.execute(
        SQL["changes_after"], {"queue": queue.id, "after": after, "limit": _CHANGES_AT_ONCE}
    ).fetchall()
    told: list[Change] = []
    for last, body in found:
        of_row = told_in(body, now_ms)
        first = last - len(of_row) + 1
        told += of_row[max(after + 1 - first, 0) :]
    return told, found[-1][0] if found else after
