"""Ready jobs to deliveries: what becomes due, and which jobs a worker gets."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from heracles.model import Delivery, JobStatus, Session
from heracles.sqlite.ending import Ending, finish
from heracles.sqlite.line import ready
from heracles.sqlite.rows import ReadyRow, UnreadableEntryError, delivery_of
from heracles.sqlite.turn import PLACES_A_MS, Turn

#: Jobs that one transaction moves to the ready ones; what is left comes with the next one.
_PROMOTED_AT_ONCE = 250
#: Jobs that one transaction fails as their entries cannot be read; so do the next ones with those that are left.
_FAILED_AT_ONCE = 250
#: A job that has taken down two workers, or might have, starts only where nothing like it runs.
SUSPECT_DELIVERIES = 2
#: How long a suspect that this worker may not have is left to others.
_ASIDE_MS = 1000


def promote_due(turn: Turn) -> None:
    """Move what has become due to the ready ones, in the order of becoming due."""
    due = sorted(turn.rows("due_jobs", limit=_PROMOTED_AT_ONCE), key=lambda row: (row[1], row[0]))
    plain = [id for id, _, no_overlap, line in due if not no_overlap or line is not None]
    if plain:
        turn.write_all("promote", plain)
    for id, due_ms, no_overlap, line in due:
        if no_overlap and line is None:
            job = turn.job_by_id(id)
            assert job is not None
            ready(turn, job, place=due_ms * PLACES_A_MS)


def start_ready(
    turn: Turn, session: Session, slots: int, *, suspects: bool, pause_on_error: bool
) -> tuple[Delivery, ...]:
    """Start up to so many ready jobs, at most one suspect among them, for a worker."""
    started: list[Delivery] = []
    failed = 0
    while len(started) < slots:
        rows = list(map(ReadyRow._make, turn.rows("ready_jobs", limit=slots - len(started))))
        taken, aside = _split(rows, suspects=suspects)
        suspects = suspects and not any(_may_kill(row) for row in taken)
        begun, unreadable = _start(turn, session, taken)
        started += begun
        for id, cause in unreadable:
            _fail_unread(turn, id, cause, pause_on_error=pause_on_error)
        if aside:
            _set_aside(turn, aside)
        failed += len(unreadable)
        turn.has_left_ready = failed >= _FAILED_AT_ONCE
        if turn.paused or turn.has_left_ready or not (aside or unreadable):
            break
    return tuple(started)


def is_suspect(delivery: Delivery) -> bool:
    """Whether it was started although it may take its worker down."""
    return delivery.deliveries > SUSPECT_DELIVERIES


class Times(NamedTuple):
    """When the first of those that wait becomes due, and the first lease ends."""

    due_ms: int | None
    lease_ms: int | None


def first_times(turn: Turn) -> Times:
    """What comes first in this queue."""
    return Times(*(turn.row("first_times") or (None, None)))


def next_due_ms(turn: Turn, times: Times, *, may_be_ready: bool) -> int | None:
    """Milliseconds until something that waits can start; 0: now; None: nothing is known to wait."""
    if turn.paused:
        return None
    if may_be_ready and (turn.row("any_ready") or (0,))[0]:
        return 0
    return None if times.due_ms is None else max(times.due_ms - turn.now_ms, 0)


def _split(rows: Sequence[ReadyRow], *, suspects: bool) -> tuple[list[ReadyRow], list[ReadyRow]]:
    """Those that start, and the suspects that do not."""
    if not any(map(_may_kill, rows)):
        return list(rows), []
    taken: list[ReadyRow] = []
    aside: list[ReadyRow] = []
    for row in rows:
        if not _may_kill(row):
            taken.append(row)
        elif suspects:
            taken.append(row)
            suspects = False
        else:
            aside.append(row)
    return taken, aside


def _may_kill(row: ReadyRow) -> bool:
    return row.deliveries >= SUSPECT_DELIVERIES


def _start(turn: Turn, session: Session, rows: Sequence[ReadyRow]) -> tuple[list[Delivery], list[tuple[int, str]]]:
    """Start these jobs; those whose entries cannot be read are left as they are, and named with the cause."""
    started, unreadable = _deliveries(turn, rows)
    if started:
        turn.write_all(
            "start",
            [row.id for row, _ in started],
            lease_ms=turn.now_ms + turn.settings.lease_ms,
            worker=session.worker_id,
            consumer=session.consumer,
        )
        for status, count in Counter([row.status for row, _ in started]).items():
            turn.all_left(status, count)
        envelopes = [delivery.envelope for _, delivery in started]
        turn.all_entered([(envelope.job_id, envelope.dispatch_id) for envelope in envelopes], JobStatus.RUNNING)
    return [delivery for _, delivery in started], unreadable


def _deliveries(turn: Turn, rows: Sequence[ReadyRow]) -> tuple[list[tuple[ReadyRow, Delivery]], list[tuple[int, str]]]:
    started: list[tuple[ReadyRow, Delivery]] = []
    unreadable: list[tuple[int, str]] = []
    for row in rows:
        try:
            started.append((row, delivery_of(row, row.token + 1, row.deliveries + 1, turn.now_ms)))
        except UnreadableEntryError as error:
            unreadable.append((row.id, str(error)))
    return started, unreadable


def _fail_unread(turn: Turn, id: int, cause: str, *, pause_on_error: bool) -> None:
    """End a job of which nobody can know what it is."""
    job = turn.job_by_id(id)
    assert job is not None
    if job.status != JobStatus.PENDING:
        # A retry ends by being started.
        turn.moved(job, JobStatus.RUNNING)
        job = job._replace(status=JobStatus.RUNNING.value)
    finish(turn, job, Ending(status=JobStatus.FAILED, error=f"its entry cannot be read: {cause}"))
    turn.paused = turn.paused or pause_on_error


def _set_aside(turn: Turn, rows: Sequence[ReadyRow]) -> None:
    due_ms = turn.now_ms + _ASIDE_MS
    turn.has_set_aside = True
    turn.write_all("set_aside", [row.id for row in rows], due_ms=due_ms)
    turn.waits_until(due_ms)
