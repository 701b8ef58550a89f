"""What acts on a queue from outside: its gates, and cancelling."""

from heracles.model import Gates, JobStatus
from heracles.sqlite.ending import cancel
from heracles.sqlite.pairs import paired_dispatch
from heracles.sqlite.removal import settle_finished, trim_finished
from heracles.sqlite.rows import JobRow
from heracles.sqlite.turn import Turn

#: Jobs that one transaction cancels; the caller goes on with the next lot.
CANCELLED_AT_ONCE = 250


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
    latest = turn.row("latest_of_job", job_id=job_id, pair=paired_dispatch(job_id))
    if latest is None:
        return False
    cancelled = JobStatus(latest[1]) is JobStatus.CANCELLED
    pair = turn.job(paired_dispatch(job_id))
    if pair is not None and pair.job_id == job_id and not pair.is_final:
        cancel(turn, pair)
        cancelled = True
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


def cancel_some(turn: Turn, before: int, *, running: bool, trim: bool) -> tuple[int, int | None]:
    """Cancel one lot of waiting jobs, with ``running`` of unfinished ones: how many, and before which id to go on.

    The newest go first: the first of a line would make the next one ready.
    """
    ids = [id for (id,) in turn.rows("unfinished_jobs", before=before, limit=CANCELLED_AT_ONCE)]
    jobs = sorted((JobRow(*row) for row in turn.rows_of("jobs_by_id", ids)), reverse=True)
    cancelled = sum(_cancel_waiting(turn, job, running=running) for job in jobs)
    (trim_finished if trim else settle_finished)(turn)
    return cancelled, ids[-1] if len(ids) == CANCELLED_AT_ONCE else None


def _cancel_waiting(turn: Turn, read: JobRow, *, running: bool) -> bool:
    # Cancelling the first in a line has changed the next.
    job = read if read.line is None else turn.job_by_id(read.id)
    if job is None or job.is_final or (job.status == JobStatus.RUNNING and not running):
        return False
    cancel(turn, job)
    return True
