"""How a job ends, and what that sets free."""

from heracles.model import JobStatus, Value
from heracles.sqlite.line import delay, leave, save
from heracles.sqlite.rows import JobRow, State
from heracles.sqlite.turn import Turn


class Ending(Value, frozen=True, kw_only=True):
    """How a job ends."""

    status: JobStatus
    error: str | None = None
    traceback: str | None = None
    result: bytes | None = None
    overlap_delay_ms: int = 0
    status_ttl_s: int | None = None


def finish(turn: Turn, job: JobRow, ending: Ending, *, still_running: bool = False) -> None:
    """Give a job its final status; while its code still runs, its lease and its place in its line stay."""
    ttl_s = ending.status_ttl_s or job.status_ttl_s or turn.settings.status_ttl_s
    # In the order of the statement ``finish_jobs``.
    expires_ms = turn.now_ms + ttl_s * 1000
    turn.finish(
        job.id,
        job.priority,
        ending.status,
        expires_ms,
        (
            job.id,
            ending.status.value,
            job.state if still_running else int(State.ENDED),
            job.token,
            job.lease_ms if still_running else None,
            job.line if still_running else None,
            expires_ms,
            job.reported,
            job.released_token,
            ending.error,
            ending.traceback,
            ending.result,
        ),
    )
    turn.moved(job, ending.status, ending.error)
    if not still_running:
        leave(turn, job, ending.overlap_delay_ms)


def cancel(turn: Turn, job: JobRow) -> None:
    """Cancel an unfinished job; one whose code runs keeps its lease, and its worker is told."""
    finish(turn, job, Ending(status=JobStatus.CANCELLED), still_running=job.is_held)
    if job.is_held and job.consumer is not None:
        turn.cancelled(job.dispatch_id, job.consumer)


def release(turn: Turn, job: JobRow, overlap_delay_ms: int) -> None:
    """The code of a job that has ended or is to be retried runs no more: free its place, let its retry go on."""
    free = job._replace(lease_ms=None, line=None)
    if free.is_final:
        save(turn, free._replace(state=int(State.ENDED)))
    else:
        delay(turn, free, max(free.scheduled_ms or 0, turn.now_ms))
    leave(turn, job, overlap_delay_ms)
