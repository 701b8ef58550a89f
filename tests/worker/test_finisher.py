"""Which report follows from which outcome."""

import pytest

from heracles.model import Delivery, Report, ReportKind
from heracles.worker.finisher import LAST_UNKNOWN_DELAY_MS, UNKNOWN_PATIENCE_MS, decide
from heracles.worker.held import Stop
from heracles.worker.outcome import Completed, Ending, Failed, GivenBack, Outcome, Released, Unknown, conclude
from heracles.worker.plan import Plan
from tests.worker.deliveries import delivery, plan

RAISED = Failed(error="ValueError: no", traceback="trace")
FINAL = Failed(error="Fail: no", for_good=True)
LATE = Failed(error="TimeoutError: late", still_running=True)


@pytest.mark.parametrize(
    ("outcome", "of", "by", "kind", "delay_ms"),
    [
        (Completed(result=b"1"), delivery(), plan(), ReportKind.COMPLETED, 0),
        (RAISED, delivery(retries=0), plan(), ReportKind.RETRY, 5000),
        (RAISED, delivery(retries=2), plan(retry_delay_ms=7), ReportKind.RETRY, 7),
        (RAISED, delivery(retries=3), plan(), ReportKind.FAILED, 0),
        (RAISED, delivery(), plan(max_retries=0), ReportKind.FAILED, 0),
        (FINAL, delivery(), plan(), ReportKind.FAILED, 0),
        (LATE, delivery(), plan(), ReportKind.RETRY, 5000),
        (LATE, delivery(retries=3), plan(), ReportKind.FAILED, 0),
        (GivenBack(), delivery(), plan(), ReportKind.RETURNED, 0),
        (GivenBack(begun=False), delivery(), plan(), ReportKind.UNSTARTED, 0),
        (Released(), delivery(), plan(), ReportKind.RELEASED, 0),
        (Unknown(), delivery(), plan(), ReportKind.UNKNOWN, 1000),
    ],
)
def test_decide(outcome: Outcome, of: Delivery, by: Plan, kind: ReportKind, delay_ms: int) -> None:
    report = decide(outcome, of, by)
    assert (report.kind, report.delay_ms) == (kind, delay_ms)
    assert (report.token, report.receipt, report.name) == (of.token, "r", "Some")


def test_a_report_carries_what_the_run_left() -> None:
    assert decide(Completed(result=b"[1]"), delivery(), plan()).result == b"[1]"
    failed = decide(RAISED, delivery(), plan())
    assert (failed.error, failed.traceback, failed.still_running) == ("ValueError: no", "trace", False)
    assert decide(LATE, delivery(), plan()).still_running


@pytest.mark.parametrize(("outcome", "retries", "pauses"), [(RAISED, 0, False), (RAISED, 3, True), (FINAL, 0, True)])
def test_only_a_failure_for_good_pauses_the_queue(outcome: Outcome, retries: int, pauses: bool) -> None:
    assert decide(outcome, delivery(retries=retries), plan(pause_on_error=True)).pause_queue is pauses
    assert not decide(outcome, delivery(retries=retries), plan()).pause_queue


def test_every_report_carries_the_overlap_delay_and_the_time_to_live() -> None:
    by = plan(overlap_delay_ms=70, status_ttl_s=9)
    for outcome in (Completed(result=b"1"), RAISED, GivenBack(), Released(), Unknown()):
        report = decide(outcome, delivery(), by)
        assert (report.overlap_delay_ms, report.status_ttl_s) == (70, 9)


def test_an_unknown_job_waits_twice_as_long_each_time_and_fails_after_five_minutes() -> None:
    delays = []
    waited = 0
    while (report := _unknown_after(waited)).kind is ReportKind.UNKNOWN:
        delays.append(report.delay_ms)
        waited += report.delay_ms
    assert delays[:7] == [1000, 1000, 2000, 4000, 8000, 16000, 30000]
    assert set(delays[7:]) == {LAST_UNKNOWN_DELAY_MS}
    assert UNKNOWN_PATIENCE_MS <= waited <= UNKNOWN_PATIENCE_MS + LAST_UNKNOWN_DELAY_MS
    assert report.kind is ReportKind.FAILED
    assert "'Some'" in (report.error or "")


def _unknown_after(waited_ms: int) -> Report:
    since = 1000 if waited_ms else None
    return decide(Unknown(), delivery(started_at_ms=1000 + waited_ms, unknown_since_ms=since), plan())


VALUE, ERROR = Completed(result=b"1"), Failed(error="E: e")


@pytest.mark.parametrize(
    ("stop", "of_value", "of_error"),
    [
        (None, Completed(result=b"1"), Failed(error="E: e")),
        (Stop.CANCELLED, Released(), Released()),
        (Stop.RETURNED, GivenBack(), GivenBack()),
        (Stop.LOST, GivenBack(), GivenBack()),
    ],
)
def test_what_code_was_asked_to_end_for_decides_what_its_end_means(
    stop: Stop | None, of_value: Outcome, of_error: Outcome
) -> None:
    assert conclude(VALUE, stop, None) == of_value
    assert conclude(ERROR, stop, None) == of_error


@pytest.mark.parametrize("ending", [VALUE, ERROR])
def test_a_run_over_its_time_has_failed_however_it_ended(ending: Ending) -> None:
    outcome = conclude(ending, Stop.TIMED_OUT, 250)
    assert isinstance(outcome, Failed)
    assert "250 ms" in outcome.error
    assert not outcome.for_good
