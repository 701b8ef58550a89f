"""What acts on a queue from outside: its gates, and cancelling."""

from collections.abc import Sequence
from typing import NamedTuple

from heracles.model import Gates, JobStatus
from heracles.sqlite.ending import cancel
from heracles.sqlite.removal import settle_finished, trim_finished
from heracles.sqlite.rows import JobRow
from heracles.sqlite.turn import Turn

#: Jobs that one transaction cancels; the caller goes on with the next lot.
CANCELLED_AT_ONCE = 250
_WAITING = (JobStatus.PENDING, JobStatus.SCHEDULED_FOR_RETRY)


class Lot(NamedTuple):
    """Jobs of one status with ids in a range."""

    status: JobStatus
    after: int
    until: int


def set_gates(turn: Turn, paused: bool | None, draining: bool | None) -> Gates:
    """Set what is given; a paused queue does not begin to drain."""
    if paused is not None:
        turn.paused = paused
    if draining is not None and not (draining and turn.paused):
        turn.draining = draining
    return Gates(paused=turn.paused, draining=turn.draining)


def cancel_one(turn: Turn, id: str) -> bool:
    """Cancel by dispatch id or job id; whether at least one of them has ended CANCELLED."""
    dispatch = turn.job(id)
    cancelled = dispatch is not None and _cancel_dispatch(turn, dispatch)
    cancelled = _cancel_dispatches(turn, id) or cancelled
    trim_finished(turn)
    return cancelled


def _cancel_dispatch(turn: Turn, job: JobRow) -> bool:
    if not job.is_final:
        cancel(turn, job)
        return True
    return JobStatus(job.status) is JobStatus.CANCELLED


def _cancel_dispatches(turn: Turn, job_id: str) -> bool:
    latest = turn.row("latest_of_job", job_id=job_id)
    if latest is None:
        return False
    cancelled = JobStatus(latest[1]) is JobStatus.CANCELLED
    after = 0
    while rows := turn.rows("open_of_job", job_id=job_id, after=after, limit=CANCELLED_AT_ONCE):
        for row in rows:
            cancel(turn, JobRow(*row))
        after, cancelled = JobRow(*rows[-1]).id, True
    return cancelled


def last_id(turn: Turn) -> int:
    """The id of the newest job."""
    found = turn.row("last_id")
    return 0 if found is None else int(found[0])


def cancel_some(turn: Turn, lot: Lot, *, running: bool, trim: bool) -> tuple[int, Lot | None]:
    """Cancel one lot of waiting jobs, with ``running`` of unfinished ones: how many, and the next lot."""
    rows = turn.rows("open_jobs", status=lot.status.value, after=lot.after, until=lot.until, limit=CANCELLED_AT_ONCE)
    cancelled = sum(_cancel_waiting(turn, id, running=running) for (id,) in rows)
    (trim_finished if trim else settle_finished)(turn)
    return cancelled, lot._replace(after=rows[-1][0]) if len(rows) == CANCELLED_AT_ONCE else None


def _cancel_waiting(turn: Turn, id: int, *, running: bool) -> bool:
    # Read one by one: cancelling the first in a line changes the next.
    found = turn.row("job_by_id", id=id)
    if found is None:
        return False
    job = JobRow(*found)
    if job.is_final or (job.status == JobStatus.RUNNING and not running):
        return False
    cancel(turn, job)
    return True


def clearable(running: bool) -> Sequence[JobStatus]:
    """The statuses that ``clear`` looks through, in order."""
    return (*_WAITING, JobStatus.RUNNING) if running else _WAITING
