"""The end that most jobs have, for many of them at once."""

from collections.abc import Collection, Mapping, Sequence

from heracles.model import JobStatus, Report, ReportKind
from heracles.sqlite.turn import Turn, id_of


def complete(turn: Turn, reports: Sequence[Report]) -> Collection[int]:
    """Apply the reports of completion that need no second look, and say which; the others were not touched.

    Those are of jobs that run under the reported token and are in no overlap line.
    """
    asked = _asked(reports)
    if not asked:
        return ()
    usual_ttl_s, now_ms = turn.settings.status_ttl_s, turn.now_ms
    completed: list[int] = []
    ends: dict[tuple[int, int, bytes | None], list[int]] = {}
    for id, dispatch_id, token, priority, ttl_s in turn.rows_of("running_jobs", list(asked)):
        report = reports[asked[id]]
        if report.token == token and report.dispatch_id == dispatch_id:
            completed.append(asked[id])
            expires_ms = now_ms + (report.status_ttl_s or ttl_s or usual_ttl_s) * 1000
            ends.setdefault((priority, expires_ms, report.result), []).append(id)
    if completed:
        turn.complete(ends)
        turn.all_left(JobStatus.RUNNING.value, len(completed))
        done = [reports[number] for number in completed]
        turn.all_entered([(report.job_id, report.dispatch_id) for report in done], JobStatus.COMPLETED)
    return frozenset(completed)


def _asked(reports: Sequence[Report]) -> Mapping[int, int]:
    """By the ids of the jobs, the numbers of the reports that say COMPLETED; of several on one job, the first."""
    asked: dict[int, int] = {}
    for number, report in enumerate(reports):
        if report.kind is ReportKind.COMPLETED and (id := id_of(report.receipt)) is not None:
            asked.setdefault(id, number)
    return asked
