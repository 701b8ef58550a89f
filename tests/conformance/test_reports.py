"""``Transport.exchange``, reporting: every kind of report, on every status, under a current and a stale token."""

from typing import Any

import msgspec
import pytest

from heracles.model import Delivery, JobStatus, Record, ReportKind, Verdict
from heracles.units import now_ms
from tests.conformance.driver import LATER_MS, Driver, envelope, ids, report_on, session
from tests.waiting import eventually

ENDS = {
    ReportKind.COMPLETED: JobStatus.COMPLETED,
    ReportKind.FAILED: JobStatus.FAILED,
    ReportKind.RETRY: JobStatus.SCHEDULED_FOR_RETRY,
    ReportKind.RETURNED: JobStatus.PENDING,
    ReportKind.UNSTARTED: JobStatus.PENDING,
    ReportKind.UNKNOWN: JobStatus.PENDING,
}
FINAL_KINDS = (ReportKind.COMPLETED, ReportKind.FAILED)


@pytest.mark.parametrize("kind", ENDS)
async def test_on_a_running_job_each_kind_leads_to_its_status(driver: Driver, kind: ReportKind) -> None:
    delivery = await driver.put_running("d-1")
    assert await driver.report(delivery, kind, delay_ms=LATER_MS, error="Boom: x") is Verdict.APPLIED
    assert await driver.status("d-1") is ENDS[kind]
    assert await driver.counts() == {ENDS[kind].name: 1}


async def test_completed_keeps_the_result(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.finish(delivery, result=b'{"sum":3}')
    record = await driver.find("d-1")
    assert (record.result, record.error, record.traceback) == (b'{"sum":3}', None, None)
    assert record.completed_at_ms is not None
    assert record.completed_at_ms >= delivery.started_at_ms
    assert (record.name, record.worker, record.retries) == ("SendEmail", "worker-1", 0)


@pytest.mark.parametrize(
    "result",
    [None, b"null", b'""', b'"' + b"x" * 62 + b'"', b'"' + b"x" * 63 + b'"', b'"' + b"x" * 900_000 + b'"',
     '"grüße 😀"'.encode()],
    ids=["none", "null", "empty", "64 bytes", "65 bytes", "900 kB", "unicode"],
)  # fmt: skip
async def test_a_result_of_any_size_comes_back(driver: Driver, result: bytes | None) -> None:
    delivery = await driver.put_running("d-1")
    await driver.finish(delivery, result=result)
    assert (await driver.find("d-1")).result == result


@pytest.mark.parametrize("length", [1, 64, 65, 65_000])
async def test_failed_keeps_error_and_traceback(driver: Driver, length: int) -> None:
    delivery = await driver.put_running("d-1")
    traceback = "ü" + "x" * (length - 1)
    await driver.report(delivery, ReportKind.FAILED, error="ValueError: grüße", traceback=traceback)
    record = await driver.find("d-1")
    assert (record.error, record.traceback, record.result) == ("ValueError: grüße", traceback, None)
    assert record.completed_at_ms is not None
    assert record.envelope == delivery.envelope


async def test_retry_counts_and_waits(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.RETRY, delay_ms=150, error="ValueError: 1", traceback="t")
    record = await driver.find("d-1")
    assert (record.status, record.retries, record.error) == (JobStatus.SCHEDULED_FOR_RETRY, 1, "ValueError: 1")
    assert record.completed_at_ms is None
    assert record.scheduled_for_ms is not None
    assert record.scheduled_for_ms >= delivery.started_at_ms + 150
    again = await driver.start_one()
    assert again.started_at_ms >= record.scheduled_for_ms
    assert (again.retries, again.deliveries, again.last_error) == (1, 1, "ValueError: 1")
    assert again.token > delivery.token


async def test_a_retry_stays_scheduled_for_retry_until_it_starts(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.RETRY, delay_ms=0)
    assert await driver.status("d-1") is JobStatus.SCHEDULED_FOR_RETRY
    assert await driver.counts() == {"SCHEDULED_FOR_RETRY": 1}
    await driver.start_one()
    assert await driver.counts() == {"RUNNING": 1}


async def test_success_removes_the_error_of_earlier_runs(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.RETRY, delay_ms=0, error="ValueError: 1", traceback="t" * 100)
    await driver.finish(await driver.start_one())
    record = await driver.find("d-1")
    assert (record.status, record.retries) == (JobStatus.COMPLETED, 1)
    assert (record.error, record.traceback) == (None, None)


@pytest.mark.parametrize("kind", [ReportKind.RETURNED, ReportKind.UNSTARTED])
async def test_given_back_has_retries_and_deliveries_as_before(driver: Driver, kind: ReportKind) -> None:
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.RETRY, delay_ms=0, error="ValueError: 1")
    for _ in range(4):
        await driver.report(await driver.start_one(), kind)
    record = await driver.find("d-1")
    assert (record.status, record.retries) == (JobStatus.PENDING, 1)
    again = await driver.start_one()
    assert (again.retries, again.deliveries, again.last_error) == (1, 1, "ValueError: 1")


async def test_unknown_waits_and_remembers_since_when(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.UNKNOWN, delay_ms=150)
    assert await driver.start() == []
    second = await driver.start_one()
    assert second.unknown_since_ms is not None
    assert delivery.started_at_ms <= second.unknown_since_ms <= second.started_at_ms - 150
    assert (second.retries, second.deliveries) == (0, 1)
    await driver.report(second, ReportKind.UNKNOWN, delay_ms=1)
    assert (await driver.start_one()).unknown_since_ms == second.unknown_since_ms


async def test_failed_may_pause_the_queue_in_the_same_step(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.put("d-2")
    report = report_on(delivery, ReportKind.FAILED, error="Boom: x", pause_queue=True)
    exchanged = await driver.exchange([report], slots=1)
    assert (exchanged.started, exchanged.paused) == ((), True)
    assert (await driver.transport.overview(driver.queue)).gates.paused


async def test_a_failure_that_was_not_applied_does_not_pause(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.cancel("d-1")
    await driver.report(delivery, ReportKind.FAILED, error="Boom: x", pause_queue=True)
    assert not (await driver.transport.overview(driver.queue)).gates.paused


# ---- once more, too late, in vain


async def _snapshot(driver: Driver) -> tuple[Record, dict[str, int]]:
    return await driver.find("d-1"), await driver.counts()


@pytest.mark.parametrize("kind", ENDS)
async def test_repeating_an_applied_report_is_applied_and_changes_nothing(driver: Driver, kind: ReportKind) -> None:
    delivery = await driver.put_running("d-1")
    fields: dict[str, Any] = {"delay_ms": LATER_MS, "error": "Boom: x", "result": b"1"}
    await driver.report(delivery, kind, **fields)
    before, cursor = await _snapshot(driver), await driver.cursor()
    assert await driver.report(delivery, kind, **fields) is Verdict.APPLIED
    assert await _snapshot(driver) == before
    assert await driver.changes(cursor) == []


@pytest.mark.parametrize("kind", FINAL_KINDS)
async def test_within_one_call_a_report_may_repeat(driver: Driver, kind: ReportKind) -> None:
    delivery = await driver.put_running("d-1")
    exchanged = await driver.exchange([report_on(delivery, kind)] * 3)
    assert exchanged.verdicts == (Verdict.APPLIED,) * 3
    assert await driver.counts() == {ENDS[kind].name: 1}


async def _ended(driver: Driver, status: JobStatus) -> Delivery:
    """A dispatch ``d-1`` of that final status, by the delivery that it had when it ended."""
    delivery = await driver.put_running("d-1")
    if status is JobStatus.CANCELLED:
        await driver.cancel("d-1")
    else:
        kind = ReportKind.COMPLETED if status is JobStatus.COMPLETED else ReportKind.FAILED
        await driver.report(delivery, kind, error="Boom: x", result=b"1")
    return delivery


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED])
@pytest.mark.parametrize("kind", ENDS)
async def test_a_final_status_never_changes(driver: Driver, status: JobStatus, kind: ReportKind) -> None:
    delivery = await _ended(driver, status)
    if ENDS[kind] is status:
        return
    before = await _snapshot(driver)
    assert await driver.report(delivery, kind, result=b"2", error="Other: y") is Verdict.LOST
    assert await _snapshot(driver) == before
    assert await driver.start() == []


@pytest.mark.parametrize("kind", ENDS)
async def test_what_is_reported_of_a_cancelled_job_is_dropped(driver: Driver, kind: ReportKind) -> None:
    delivery = await _ended(driver, JobStatus.CANCELLED)
    before = await driver.find("d-1")
    assert await driver.report(delivery, kind, result=b"2", error="Other: y") is Verdict.CANCELLED
    after = await driver.find("d-1")
    assert (after.status, after.result, after.error) == (JobStatus.CANCELLED, None, None)
    assert (after.completed_at_ms, after.retries) == (before.completed_at_ms, before.retries)
    assert await driver.counts() == {"CANCELLED": 1}
    assert await driver.start() == []


async def test_released_is_taken_of_a_cancelled_job_and_may_repeat(driver: Driver) -> None:
    delivery = await _ended(driver, JobStatus.CANCELLED)
    for _ in range(2):
        verdict = await driver.report(delivery, ReportKind.RELEASED)
        assert verdict in {Verdict.APPLIED, Verdict.CANCELLED}
    assert await driver.counts() == {"CANCELLED": 1}


async def _restarted(driver: Driver) -> tuple[Delivery, Delivery]:
    """Two starts of ``d-1``: one that is over, and the current one."""
    first = await driver.put_running("d-1")
    await driver.report(first, ReportKind.RETURNED)
    return first, await driver.start_one(by=session("worker-2"))


@pytest.mark.parametrize("kind", ReportKind)
async def test_under_a_stale_token_nothing_changes(driver: Driver, kind: ReportKind) -> None:
    stale, _ = await _restarted(driver)
    before = await _snapshot(driver)
    verdict = await driver.report(stale, kind, result=b"1", error="Boom: x", still_running=True)
    # Of the report that ended its own start the store may still know that it applied it.
    assert verdict is Verdict.LOST or kind is ReportKind.RETURNED
    assert await _snapshot(driver) == before
    assert await driver.start() == []


@pytest.mark.parametrize("kind", ReportKind)
async def test_a_token_from_the_future_is_lost(driver: Driver, kind: ReportKind) -> None:
    delivery = await driver.put_running("d-1")
    before = await _snapshot(driver)
    forged = msgspec.structs.replace(delivery, token=delivery.token + 1)
    assert await driver.report(forged, kind) is Verdict.LOST
    assert await _snapshot(driver) == before


@pytest.mark.parametrize("kind", ReportKind)
async def test_a_job_that_has_not_started_takes_no_report(driver: Driver, kind: ReportKind) -> None:
    made = await driver.put("d-1")
    never = Delivery(envelope=made, token=1, retries=0, deliveries=1, created_at_ms=0, started_at_ms=0)
    before = await _snapshot(driver)
    assert await driver.report(never, kind) is Verdict.LOST
    assert await _snapshot(driver) == before
    assert ids(await driver.start()) == ["d-1"]


@pytest.mark.parametrize("kind", ReportKind)
async def test_of_a_job_that_there_is_not_every_report_is_lost(driver: Driver, kind: ReportKind) -> None:
    delivery = await driver.put_running("d-1")
    other = msgspec.structs.replace(delivery.envelope, job_id="j-9", dispatch_id="d-9")
    assert await driver.report(msgspec.structs.replace(delivery, envelope=other), kind) is Verdict.LOST
    assert await driver.transport.find(driver.queue, "d-9") is None
    assert await driver.counts() == {"RUNNING": 1}


async def test_verdicts_stand_in_the_order_of_reports(driver: Driver) -> None:
    good, cancelled = await driver.put_running("d-1"), await driver.put_running("d-2")
    await driver.cancel("d-2")
    lost = msgspec.structs.replace(good, token=good.token + 5)
    reports = [report_on(each, ReportKind.COMPLETED) for each in (lost, cancelled, good, cancelled, good)]
    verdicts = (await driver.exchange(reports)).verdicts
    expected = (Verdict.LOST, Verdict.CANCELLED, Verdict.APPLIED, Verdict.CANCELLED, Verdict.APPLIED)
    assert verdicts == expected


async def test_many_reports_go_in_one_call(driver: Driver) -> None:
    await driver.put_all([envelope(dispatch_id=f"d-{number}") for number in range(700)])
    started = await driver.start(700)
    exchanged = await driver.exchange([report_on(each, ReportKind.COMPLETED, result=b"7") for each in started])
    assert exchanged.verdicts == (Verdict.APPLIED,) * 700
    assert await driver.counts() == {"COMPLETED": 700}
    assert (await driver.find("d-699")).result == b"7"


async def test_reports_on_jobs_with_generated_ids_and_with_others_go_in_one_call(driver: Driver) -> None:
    made = [envelope() for _ in range(6)] + [envelope(job_id="j", dispatch_id="d-1")]
    await driver.put_all(made)
    plain, cancelled, long, kept, failed, lost, other = started = await driver.start(7)
    assert [each.envelope for each in started] == made
    await driver.cancel(cancelled.envelope.dispatch_id)
    reports = [
        report_on(plain, ReportKind.COMPLETED, result=b"0"),
        report_on(cancelled, ReportKind.COMPLETED, result=b"1"),
        report_on(long, ReportKind.COMPLETED, result=b"2" * 200),
        report_on(kept, ReportKind.COMPLETED, result=b"3", status_ttl_s=LATER_MS),
        report_on(failed, ReportKind.FAILED, error="Boom: x"),
        report_on(lost, ReportKind.COMPLETED, result=b"5", token=lost.token + 5),
        report_on(other, ReportKind.COMPLETED),
        report_on(plain, ReportKind.COMPLETED, result=b"0"),
    ]
    verdicts = (await driver.exchange(reports)).verdicts
    assert [verdict.name[0] for verdict in verdicts] == list("ACAAALAA")
    records = [await driver.find(each.dispatch_id) for each in made]
    assert [record.result for record in records] == [b"0", None, b"2" * 200, b"3", None, None, None]
    assert (records[4].error, records[6].name) == ("Boom: x", "SendEmail")
    assert await driver.counts() == {"COMPLETED": 4, "CANCELLED": 1, "FAILED": 1, "RUNNING": 1}


async def test_a_paused_queue_takes_reports(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.transport.gate(driver.queue, paused=True)
    await driver.finish(delivery)
    assert await driver.status("d-1") is JobStatus.COMPLETED


# ---- code that goes on after its report


@pytest.mark.parametrize("kind", [ReportKind.FAILED, ReportKind.RETRY])
async def test_with_still_running_the_status_changes_at_once(driver: Driver, kind: ReportKind) -> None:
    delivery = await driver.put_running("d-1")
    verdict = await driver.report(delivery, kind, still_running=True, error="TimeoutError: x", delay_ms=0)
    assert verdict is Verdict.APPLIED
    assert await driver.status("d-1") is ENDS[kind]
    assert await driver.counts() == {ENDS[kind].name: 1}


async def test_a_retry_waits_until_its_code_is_released(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.RETRY, still_running=True, delay_ms=0)
    assert await driver.start() == []
    assert await driver.report(delivery, ReportKind.RELEASED) is Verdict.APPLIED
    assert (await driver.start_one()).retries == 1


async def test_a_released_retry_still_waits_for_its_delay(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.RETRY, still_running=True, delay_ms=200)
    due_ms = (await driver.find("d-1")).scheduled_for_ms
    await driver.report(delivery, ReportKind.RELEASED)
    assert (await driver.start_one()).started_at_ms >= (due_ms or 0) > 0


async def test_repeating_released_is_harmless(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.RETRY, still_running=True, delay_ms=LATER_MS)
    verdicts = [await driver.report(delivery, ReportKind.RELEASED) for _ in range(2)]
    assert verdicts == [Verdict.APPLIED] * 2
    assert await driver.counts() == {"SCHEDULED_FOR_RETRY": 1}


async def test_a_retry_whose_code_runs_waits_until_the_lease_ends(brief_leases: Driver) -> None:
    driver = brief_leases
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.RETRY, still_running=True, delay_ms=0)
    again = await driver.start_one(by=session("worker-2"))
    assert again.started_at_ms >= delivery.started_at_ms + driver.transport.settings.lease_ms
    assert again.retries == 1
    assert await driver.report(delivery, ReportKind.RELEASED) is Verdict.LOST


async def test_beats_keep_the_lease_of_code_that_still_runs(brief_leases: Driver) -> None:
    driver = brief_leases
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.RETRY, still_running=True, delay_ms=0)
    end_ms = delivery.started_at_ms + 2 * driver.transport.settings.lease_ms

    async def beaten_past_the_end() -> bool:
        beaten = await driver.beat(delivery)
        assert beaten.lost == ()
        assert await driver.start(by=session("worker-2")) == []
        return now_ms() > end_ms

    await eventually(beaten_past_the_end, interval_s=0.02)
