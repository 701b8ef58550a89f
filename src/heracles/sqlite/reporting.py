"""A worker's reports, each applied only under the job's current token."""

from collections.abc import Sequence

from heracles.model import JobStatus, Report, ReportKind, Verdict
from heracles.sqlite.completing import complete
from heracles.sqlite.ending import Ending, finish, release
from heracles.sqlite.line import delay, leave, ready, save
from heracles.sqlite.rows import JobRow, State
from heracles.sqlite.starting import promote_due
from heracles.sqlite.turn import Turn


def apply_all(turn: Turn, reports: Sequence[Report]) -> tuple[Verdict, ...]:
    """Apply the reports, one verdict a report."""
    completed = complete(turn, reports)
    if len(completed) == len(reports):
        return (Verdict.APPLIED,) * len(reports)
    turn.read_ahead(report.receipt for number, report in enumerate(reports) if number not in completed)
    return tuple(
        Verdict.APPLIED if number in completed else _apply(turn, report) for number, report in enumerate(reports)
    )


def _apply(turn: Turn, report: Report) -> Verdict:
    job = turn.job_by_receipt(report.receipt, report.dispatch_id)
    if job is None:
        return Verdict.LOST
    if job.is_held and job.token == report.token:
        return _apply_current(turn, job, report)
    return _apply_late(turn, job, report)


def _apply_current(turn: Turn, job: JobRow, report: Report) -> Verdict:
    if job.status == JobStatus.RUNNING:
        return _apply_running(turn, job, report)
    if report.kind is ReportKind.RELEASED:
        _release(turn, job, report)
        return Verdict.APPLIED
    if job.status == JobStatus.CANCELLED:
        if not report.still_running:
            _release(turn, job, report)
        return Verdict.CANCELLED
    return Verdict.APPLIED if job.reported == _said(report) else Verdict.LOST


def _apply_late(turn: Turn, job: JobRow, report: Report) -> Verdict:
    """The job is not the worker's any more: because of this very report, or because of somebody else."""
    if report.kind is ReportKind.RELEASED and job.released_token == report.token:
        return Verdict.APPLIED
    if job.reported == _said(report):
        return Verdict.APPLIED
    if job.status == JobStatus.CANCELLED and job.token == report.token:
        return Verdict.CANCELLED
    _forgive(turn, job, report.token)
    return Verdict.LOST


def _forgive(turn: Turn, job: JobRow, token: int) -> None:
    """A worker that comes back late was not taken down by the job: that start does not count."""
    reclaimed = (job.reclaimed or "").split(",")
    if str(token) in reclaimed and not job.is_final:
        reclaimed.remove(str(token))
        turn.write("save_reclaimed", id=job.id, reclaimed=",".join(reclaimed) or None)


def _release(turn: Turn, job: JobRow, report: Report) -> None:
    release(turn, job._replace(released_token=report.token), report.overlap_delay_ms)


def _said(report: Report) -> str:
    return f"{report.token}:{report.kind.value}"


def _apply_running(turn: Turn, job: JobRow, report: Report) -> Verdict:
    said = job._replace(reported=_said(report))
    match report.kind:
        case ReportKind.COMPLETED:
            finish(turn, said, _ending(report, JobStatus.COMPLETED))
        case ReportKind.FAILED:
            finish(turn, said, _ending(report, JobStatus.FAILED), still_running=report.still_running)
            turn.paused = turn.paused or report.pause_queue
        case ReportKind.RETRY:
            _retry(turn, said, report)
        case ReportKind.RETURNED:
            ready(turn, _given_back(turn, said))
        case ReportKind.UNSTARTED:
            ready(turn, _given_back(turn, said), place=job.place)
        case ReportKind.UNKNOWN:
            unknown_since_ms = turn.now_ms if job.unknown_since_ms is None else job.unknown_since_ms
            back = _given_back(turn, said)._replace(unknown_since_ms=unknown_since_ms)
            delay(turn, back, turn.now_ms + report.delay_ms)
        case ReportKind.RELEASED:
            # Its code has ended without saying how; its lease decides.
            return Verdict.LOST
    return Verdict.APPLIED


def _ending(report: Report, status: JobStatus) -> Ending:
    completed = status is JobStatus.COMPLETED
    return Ending(
        status=status,
        error=None if completed else report.error,
        traceback=None if completed else report.traceback,
        result=report.result if completed else None,
        overlap_delay_ms=report.overlap_delay_ms,
        status_ttl_s=report.status_ttl_s,
    )


def _given_back(turn: Turn, job: JobRow) -> JobRow:
    """Pending again as if it had not been started, but for its token."""
    turn.moved(job, JobStatus.PENDING)
    return job._replace(status=JobStatus.PENDING.value, token=job.token + 1, deliveries=max(job.deliveries - 1, 0))


def _retry(turn: Turn, job: JobRow, report: Report) -> None:
    """Wait for the next run outside the line; while the code still runs, its lease and its place in the line stay."""
    due_ms = turn.now_ms + report.delay_ms
    waiting = job._replace(
        status=JobStatus.SCHEDULED_FOR_RETRY.value,
        retries=job.retries + 1,
        deliveries=0,
        reclaimed=None,
        scheduled_ms=due_ms,
        unknown_since_ms=None,
    )
    turn.write("save_error", id=job.id, error=report.error, traceback=report.traceback, name=report.name or None)
    turn.moved(job, JobStatus.SCHEDULED_FOR_RETRY, report.error)
    if report.still_running:
        save(turn, waiting._replace(state=int(State.HELD), place=None))
        return
    if report.delay_ms <= 0:
        # What has become due before stands before it, in its line too.
        promote_due(turn)
    outside = waiting._replace(line=None)
    delay(turn, outside, due_ms)
    leave(turn, job, report.overlap_delay_ms)
    if report.delay_ms <= 0:
        # It queues as of now, behind whoever it has let go on.
        ready(turn, outside)
