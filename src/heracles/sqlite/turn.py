"""One transaction's work on one queue: what it reads there, changes, counts and tells."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from heracles.model import FINAL, JobStatus, Value
from heracles.options import StoreSettings
from heracles.sqlite.queries import SQL, SQL_FOR_ONE, for_rows
from heracles.sqlite.rows import JobRow, QueueRow
from heracles.sqlite.telling import Telling

#: Places are times in millionths of a millisecond, so that what becomes due and what is dispatched share one order.
PLACES_A_MS = 1_000_000
#: How many status changes of a queue can be read again.
KEPT_CHANGES = 10_000
#: Rows of old changes go in lots of this many changes, as deleting them one transaction at a time costs more.
_DROPPED_CHANGES = 1000
#: What is longer may not fit into the 64 bits of an id.
_ID_DIGITS = 19
#: Jobs that ended in up to so many ways are written way by way, else row by row.
_FEW_KINDS = 3


class Hints(Value, frozen=True, kw_only=True):
    """What others may want to know of a transaction, once it is committed."""

    queue: str
    ready: int = 0
    """How many jobs became ready."""
    due_in_ms: int | None = None
    """When the next of those that it made wait becomes due."""
    cancelled: tuple[tuple[str, str], ...] = ()
    """Dispatch id and consumer of each running job that was cancelled."""
    changed: bool = False
    opened: bool = False
    """The queue starts jobs again."""


class Turn:
    """What a transaction does to one queue; ``close`` writes what it counted and told."""

    def __init__(self, connection: sqlite3.Connection, queue: QueueRow, now_ms: int, settings: StoreSettings) -> None:
        self._connection = connection
        self._before = queue
        self._counts: Counter[str] = Counter()
        self._told = Telling()
        self._place = queue.last_place
        # Endings that are written in one go: before anything is read, and at the end.
        self._endings: list[tuple[object, ...]] = []
        # The ids of jobs that have ended, by priority, status, and when their records expire.
        self._ended: dict[tuple[int, str, int], list[int]] = {}
        # Rows that were read in one go, until somebody asks for them.
        self._read: dict[int, JobRow] = {}
        self._ready = 0
        self._due_ms: int | None = None
        self._cancelled: list[tuple[str, str]] = []
        self.queue_id = queue.id
        self.name = queue.name
        self.now_ms = now_ms
        self.settings = settings
        self.paused = bool(queue.paused)
        self.draining = bool(queue.draining)
        self.has_set_aside = False
        """Whether a job that could have started now was left to others for a while."""
        self.has_left_ready = False
        """Whether jobs that may be ready were left to the next transaction, as this one has done enough."""
        self.finished: Counter[int] = Counter()
        """Entries finished in this transaction, by priority; negative where more were removed."""

    @classmethod
    def on(
        cls, connection: sqlite3.Connection, name: str, now_ms: int, settings: StoreSettings, *, create: bool = False
    ) -> "Turn | None":
        """The work on that queue; None where there is none of that name and it is not to be created."""
        found = connection.execute(SQL["queue"], {"name": name}).fetchone()
        if found is None and create:
            connection.execute(SQL["add_queue"], {"name": name})
            found = connection.execute(SQL["queue"], {"name": name}).fetchone()
        return None if found is None else cls(connection, QueueRow(*found), now_ms, settings)

    # -------------------------------------------------------------------------------------------------- statements

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a query on this queue."""
        return self.write(query, **parameters).fetchall()

    def row(self, query: str, **parameters: Any) -> tuple[Any, ...] | None:
        """The first row of a query on this queue."""
        rows = self.rows(query, **parameters)
        return rows[0] if rows else None

    def write(self, query: str, **parameters: Any) -> sqlite3.Cursor:
        """Run a statement on this queue."""
        return self._run(SQL[query], parameters)

    def write_all(self, query: str, ids: Sequence[int], **parameters: Any) -> sqlite3.Cursor:
        """Run a statement on the jobs of these ids at once."""
        if len(ids) == 1 and query in SQL_FOR_ONE:
            return self._run(SQL_FOR_ONE[query], parameters | {"ids": ids[0]})
        return self._run(SQL[query], parameters | {"ids": msgspec.json.encode(ids).decode()})

    def _run(self, statement: str, parameters: dict[str, Any]) -> sqlite3.Cursor:
        if self._endings:
            self._write_endings()
        parameters["queue"] = self.queue_id
        parameters["now"] = self.now_ms
        return self._connection.execute(statement, parameters)

    def write_rows(self, query: str, rows: Sequence[tuple[object, ...]], *constants: object) -> int:
        """Run a statement that has a row of VALUES on all these rows; how many rows of its table it changed."""
        if self._endings:
            self._write_endings()
        changed = 0
        for part in _portions(rows):
            values = (*constants, *chain.from_iterable(part))
            changed += self._connection.execute(for_rows(query, len(part)), values).rowcount
        return changed

    def rows_of(self, query: str, ids: Sequence[int]) -> list[tuple[Any, ...]]:
        """All rows of a query on the jobs of these ids."""
        return self.write_all(query, ids).fetchall()

    def next_id(self) -> int:
        """Higher than the id of any job and entry."""
        found = self.row("next_id")
        assert found is not None
        return int(found[0])

    def job(self, dispatch_id: str) -> JobRow | None:
        """The job of that dispatch id."""
        found = self.row("job_by_dispatch", dispatch_id=dispatch_id)
        return None if found is None else JobRow(*found)

    def read_ahead(self, receipts: Iterable[str]) -> None:
        """Read the jobs of these receipts in one go; each is handed out once, by ``job_by_receipt``."""
        ids = [id for receipt in receipts if (id := id_of(receipt)) is not None]
        if len(ids) > 1:
            self._read = {row[0]: JobRow(*row) for row in self.rows_of("jobs_by_id", ids)}

    def job_by_receipt(self, receipt: str, dispatch_id: str) -> JobRow | None:
        """The job that a worker means; the receipt is where to look first."""
        id = id_of(receipt)
        if id is not None:
            job = self._read.pop(id, None) or self.job_by_id(id)
            if job is not None and job.dispatch_id == dispatch_id:
                return job
        return self.job(dispatch_id)

    def job_by_id(self, id: int) -> JobRow | None:
        """The job of that id."""
        found = self.row("job_by_id", id=id)
        return None if found is None else JobRow(*found)

    def finish(self, id: int, priority: int, status: JobStatus, expires_ms: int, values: tuple[object, ...]) -> None:
        """A job has ended, with these values for the statement ``finish_jobs``."""
        self._endings.append(values)
        self._add_ended((priority, status.value, expires_ms), [id])

    def complete(self, ends: Mapping[tuple[int, int, bytes | None], Sequence[int]]) -> None:
        """Jobs have ended the usual way: their ids, by priority, when their records expire, and result."""
        if len(ends) <= _FEW_KINDS:
            for (_, expires_ms, result), ids in ends.items():
                self.write_all("complete_alike", ids, expires_ms=expires_ms, result=result)
        else:
            rows = [(id, expires_ms, result) for (_, expires_ms, result), ids in ends.items() for id in ids]
            self.write_rows("complete_jobs", rows, self.now_ms, self.now_ms)
        for (priority, expires_ms, _), ids in ends.items():
            self._add_ended((priority, JobStatus.COMPLETED.value, expires_ms), ids)

    def _add_ended(self, kind: tuple[int, str, int], ids: Sequence[int]) -> None:
        self._ended.setdefault(kind, []).extend(ids)
        self.finished[kind[0]] += len(ids)

    def write_ended(self) -> None:
        """Write which jobs have ended so far, for those who go by the order of ending."""
        ended, self._ended = self._ended, {}
        for (priority, status, expires_ms), ids in ended.items():
            self.write_all(
                "add_ending",
                ids,
                priority=priority,
                status=status,
                ended_ms=self.now_ms,
                expires_ms=expires_ms,
                size=len(ids),
                trimmed=0,
            )

    def _write_endings(self) -> None:
        endings, self._endings = self._endings, []
        self.write_rows("finish_jobs", endings, self.now_ms, self.now_ms)

    # ------------------------------------------------------------------------------------------- counting, telling

    def is_over(self, time_ms: int | None) -> bool:
        """Whether there is such a time, and it has come."""
        return time_ms is not None and time_ms <= self.now_ms

    def next_place(self, count: int = 1) -> int:
        """The place of what becomes ready now: after all that became ready before, also when the clock was set back.

        Of several, that of the first: the others follow it one by one.
        """
        first = max(self._place + 1, self.now_ms * PLACES_A_MS)
        self._place = first + count - 1
        return first

    def moved(self, job: JobRow, status: JobStatus, error: str | None = None) -> None:
        """A job changed its status: count it and tell it."""
        self.left(job.status)
        self.entered(job.job_id, job.dispatch_id, status, error)

    def left(self, status: str) -> None:
        """A job has that status no more; a call of ``entered`` follows."""
        self._counts[status] -= 1

    def entered(self, job_id: str, dispatch_id: str, status: JobStatus, error: str | None = None) -> None:
        """A job has that status now, and had none before."""
        self._counts[status.value] += 1
        self._told.add(status.value, [(job_id, dispatch_id)], error)

    def all_left(self, status: str, count: int) -> None:
        """As ``left``, for so many jobs."""
        self._counts[status] -= count

    def all_entered(self, ids: Sequence[tuple[str, str]], status: JobStatus) -> None:
        """As ``entered``, for jobs of these job ids and dispatch ids."""
        self._counts[status.value] += len(ids)
        self._told.add(status.value, ids)

    @property
    def unfinished(self) -> int:
        """How many jobs of the queue had not ended before."""
        return self._before.pending + self._before.running + self._before.scheduled_for_retry

    def became_ready(self, count: int = 1) -> None:
        """So many jobs can be started."""
        self._ready += count

    def waits_until(self, due_ms: int) -> None:
        """A job will be ready then."""
        self._due_ms = due_ms if self._due_ms is None else min(self._due_ms, due_ms)

    def cancelled(self, dispatch_id: str, consumer: str) -> None:
        """A running job was cancelled, and its worker has to be told."""
        self._cancelled.append((dispatch_id, consumer))

    def reset_totals(self) -> None:
        """Count finished jobs from 0 again."""
        for status in FINAL:
            self._counts[status.value] = -self._before.counts[status]

    def gap(self) -> None:
        """Tell readers of changes that they cannot have seen everything."""
        self._told.add("", [("", "")])

    # ------------------------------------------------------------------------------------------------------ writing

    def close(self) -> Hints:
        """Write the counts and the changes."""
        if self._endings:
            self._write_endings()
        self._write_changes()
        after = self._after()
        if after != self._before:
            self.write("save_queue", **after._asdict())
        return Hints(
            queue=self.name,
            ready=0 if self.paused else self._ready,
            due_in_ms=None if self._due_ms is None else max(self._due_ms - self.now_ms, 0),
            cancelled=tuple(self._cancelled),
            changed=self._told.count > 0,
            opened=bool(self._before.paused) and not self.paused,
        )

    def _after(self) -> QueueRow:
        before = self._before
        counts: dict[str, Any] = {status: getattr(before, status) + gained for status, gained in self._counts.items()}
        return before._replace(
            paused=int(self.paused),
            draining=int(self.draining),
            last_place=self._place,
            last_change=before.last_change + self._told.count,
            **counts,
        )

    def _write_changes(self) -> None:
        if not self._told.count:
            return
        before = self._before.last_change
        last = before + self._told.count
        self.write("add_changes", last=last, body=self._told.body(self.now_ms))
        if before // _DROPPED_CHANGES != last // _DROPPED_CHANGES:
            self.write("drop_old_changes", last=last - KEPT_CHANGES)


def id_of(receipt: str) -> int | None:
    """The id of the job that a receipt names; None where it is none of ours."""
    return int(receipt) if receipt.isascii() and receipt.isdigit() and len(receipt) < _ID_DIGITS else None


def _portions(rows: Sequence[tuple[object, ...]]) -> Iterator[Sequence[tuple[object, ...]]]:
    """The rows in parts whose sizes are powers of two, so that few statements serve batches of any size."""
    start, left = 0, len(rows)
    while left:
        size = 1 << (left.bit_length() - 1)
        yield rows[start : start + size]
        start, left = start + size, left - size
