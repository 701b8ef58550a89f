"""What becomes of a job after a run: an outcome becomes a report to the store."""

from typing import assert_never

from heracles.model import Delivery, Report, ReportKind
from heracles.worker.outcome import Completed, Failed, GivenBack, Outcome, Released, Unknown
from heracles.worker.plan import Plan

#: Milliseconds between the first tries of a job whose class is not known here, and between later ones.
FIRST_UNKNOWN_DELAY_MS = 1_000
LAST_UNKNOWN_DELAY_MS = 30_000
#: How long a job waits for a worker that knows its class: a rolling deployment should be over by then.
UNKNOWN_PATIENCE_MS = 300_000


def decide(outcome: Outcome, delivery: Delivery, plan: Plan) -> Report:
    """The report on a run that turned out so."""
    match outcome:
        case Completed():
            return _completed(outcome, delivery, plan)
        case Failed():
            return _failed(outcome, delivery, plan)
        case GivenBack(begun=begun):
            return _report(ReportKind.RETURNED if begun else ReportKind.UNSTARTED, delivery, plan)
        case Released():
            return _report(ReportKind.RELEASED, delivery, plan)
        case Unknown():
            return _unknown(delivery, plan)
        case _:
            assert_never(outcome)


def _completed(completed: Completed, delivery: Delivery, plan: Plan) -> Report:
    # Nearly every report: not by `_report`, for each argument that has its default costs as well.
    envelope = delivery.envelope
    return Report(
        job_id=envelope.job_id,
        dispatch_id=envelope.dispatch_id,
        token=delivery.token,
        kind=ReportKind.COMPLETED,
        receipt=delivery.receipt,
        name=envelope.name,
        result=completed.result,
        overlap_delay_ms=plan.overlap_delay_ms,
        status_ttl_s=plan.status_ttl_s,
    )


def _failed(failed: Failed, delivery: Delivery, plan: Plan) -> Report:
    may_retry = not failed.for_good and delivery.retries < plan.max_retries
    return _report(
        ReportKind.RETRY if may_retry else ReportKind.FAILED,
        delivery,
        plan,
        error=failed.error,
        traceback=failed.traceback,
        delay_ms=plan.retry_delay_ms if may_retry else 0,
        still_running=failed.still_running,
        pause_queue=plan.pause_on_error and not may_retry,
    )


def _unknown(delivery: Delivery, plan: Plan) -> Report:
    since = delivery.unknown_since_ms
    waited = 0 if since is None else delivery.started_at_ms - since
    if waited < UNKNOWN_PATIENCE_MS:
        # As long again as it has waited so far: the delay doubles.
        delay = min(max(waited, FIRST_UNKNOWN_DELAY_MS), LAST_UNKNOWN_DELAY_MS)
        return _report(ReportKind.UNKNOWN, delivery, plan, delay_ms=delay)
    name = delivery.envelope.name
    error = f"UnknownJobError: no worker of this queue has a job registered as {name!r}: import its module in the app"
    return _report(ReportKind.FAILED, delivery, plan, error=error, pause_queue=plan.pause_on_error)


def _report(
    kind: ReportKind,
    delivery: Delivery,
    plan: Plan,
    *,
    error: str | None = None,
    traceback: str | None = None,
    delay_ms: int = 0,
    still_running: bool = False,
    pause_queue: bool = False,
) -> Report:
    envelope = delivery.envelope
    return Report(
        job_id=envelope.job_id,
        dispatch_id=envelope.dispatch_id,
        token=delivery.token,
        kind=kind,
        receipt=delivery.receipt,
        name=envelope.name,
        error=error,
        traceback=traceback,
        delay_ms=delay_ms,
        overlap_delay_ms=plan.overlap_delay_ms,
        status_ttl_s=plan.status_ttl_s,
        still_running=still_running,
        pause_queue=pause_queue,
    )
