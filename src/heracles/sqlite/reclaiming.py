"""Jobs whose worker was not heard of for a lease."""

from heracles.model import JobStatus
from heracles.sqlite.ending import Ending, finish, release
from heracles.sqlite.line import delay, ready
from heracles.sqlite.rows import JobRow
from heracles.sqlite.starting import SUSPECT_DELIVERIES
from heracles.sqlite.turn import Turn

#: Jobs that one transaction reclaims; what is left comes with the next one.
_RECLAIMED_AT_ONCE = 100
#: The pause before a third delivery; it doubles with each further one.
_FIRST_PAUSE_MS, _LONGEST_PAUSE_MS = 1000, 60_000


def reclaim(turn: Turn, *, pause_on_error: bool) -> int:
    """Take back the jobs whose leases have ended; how many."""
    rows = turn.rows("ended_leases", limit=_RECLAIMED_AT_ONCE)
    for row in rows:
        _reclaim_one(turn, JobRow(*row), pause_on_error=pause_on_error)
    return len(rows)


def _reclaim_one(turn: Turn, job: JobRow, *, pause_on_error: bool) -> None:
    taken = job._replace(token=job.token + 1)
    if job.status != JobStatus.RUNNING:
        release(turn, taken, job.overlap_delay_ms or 0)
    elif job.deliveries >= turn.settings.max_deliveries:
        finish(turn, taken, _killer(job))
        turn.paused = turn.paused or pause_on_error
    else:
        _requeue(turn, taken._replace(reclaimed=",".join(filter(None, (job.reclaimed, str(job.token))))))


def _killer(job: JobRow) -> Ending:
    error = f"JobLostError: its worker died or was cut off {job.deliveries} times while running it (max_deliveries)"
    return Ending(status=JobStatus.FAILED, error=error, overlap_delay_ms=job.overlap_delay_ms or 0)


def _requeue(turn: Turn, job: JobRow) -> None:
    pending = job._replace(status=JobStatus.PENDING.value)
    turn.moved(job, JobStatus.PENDING)
    if job.deliveries < SUSPECT_DELIVERIES:
        ready(turn, pending)
    else:
        pause_ms = min(_FIRST_PAUSE_MS << (job.deliveries - SUSPECT_DELIVERIES), _LONGEST_PAUSE_MS)
        delay(turn, pending, turn.now_ms + pause_ms)
