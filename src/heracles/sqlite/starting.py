"""Ready jobs to deliveries: what becomes due, and which jobs a worker gets."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from heracles.model import Delivery, JobStatus, Session
from heracles.sqlite.line import ready
from heracles.sqlite.rows import ReadyRow, delivery_of
from heracles.sqlite.turn import PLACES_A_MS, Turn

#: Jobs that one transaction moves to the ready ones; what is left comes with the next one.
_PROMOTED_AT_ONCE = 250
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


def start_ready(turn: Turn, session: Session, slots: int, *, suspects: bool) -> tuple[Delivery, ...]:
    """Start up to so many ready jobs, at most one suspect among them, for a worker."""
    started: list[Delivery] = []
    while len(started) < slots:
        rows = list(map(ReadyRow._make, turn.rows("ready_jobs", limit=slots - len(started))))
        taken, aside = _split(rows, suspects=suspects)
        suspects = suspects and not any(_may_kill(row) for row in taken)
        if taken:
            started += _start(turn, session, taken)
        if not aside:
            break
        _set_aside(turn, aside)
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


def _start(turn: Turn, session: Session, rows: Sequence[ReadyRow]) -> list[Delivery]:
    turn.write_all(
        "start",
        [row.id for row in rows],
        lease_ms=turn.now_ms + turn.settings.lease_ms,
        worker=session.worker_id,
        consumer=session.consumer,
    )
    now_ms = turn.now_ms
    started = [delivery_of(row, row.token + 1, row.deliveries + 1, now_ms) for row in rows]
    for status, count in Counter([row.status for row in rows]).items():
        turn.all_left(status, count)
    envelopes = [delivery.envelope for delivery in started]
    turn.all_entered([(envelope.job_id, envelope.dispatch_id) for envelope in envelopes], JobStatus.RUNNING)
    return started


def _set_aside(turn: Turn, rows: Sequence[ReadyRow]) -> None:
    due_ms = turn.now_ms + _ASIDE_MS
    turn.has_set_aside = True
    turn.write_all("set_aside", [row.id for row in rows], due_ms=due_ms)
    turn.waits_until(due_ms)
