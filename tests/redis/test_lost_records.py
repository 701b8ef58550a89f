"""Records that somebody removed while their jobs ran: the run counts, and nothing runs beside it."""

from typing import Any

import pytest

from heracles.model import Delivery, JobStatus, ReportKind, Verdict
from tests.conformance.driver import SHORT_LEASE_MS, Driver, envelope, ids, report_on, session
from tests.redis.conftest import Behind, MakeDriver
from tests.waiting import eventually

KINDS_OF_JOB: list[dict[str, Any]] = [
    {},
    {"job_id": "j", "dispatch_id": "d-1"},
    {"job_id": "j", "dispatch_id": "d-1", "no_overlap": True},
    {"priority": 5},
    {"kwargs": b'{"to":"a"}', "max_retries": 5},
]


async def put_running(driver: Driver, **fields: Any) -> Delivery:
    await driver.put_all([envelope(**fields)])
    return await driver.start_one()


def remove_record(behind: Behind, delivery: Delivery) -> None:
    behind.delete(f"status:emails:{delivery.envelope.job_id}:{delivery.envelope.dispatch_id}")


@pytest.mark.parametrize("fields", KINDS_OF_JOB)
async def test_its_report_is_applied(driver: Driver, behind: Behind, fields: dict[str, Any]) -> None:
    delivery = await put_running(driver, **fields)
    remove_record(behind, delivery)
    await driver.finish(delivery, result=b"7")
    record = await driver.find(delivery.envelope.dispatch_id)
    assert (record.status, record.result, record.token) == (JobStatus.COMPLETED, b"7", delivery.token)
    assert record.worker == driver.session.worker_id
    assert await driver.counts() == {"COMPLETED": 1}
    assert await driver.report(delivery, ReportKind.COMPLETED) is Verdict.APPLIED
    assert await driver.start() == []
    assert behind.ttl(f"status:emails:{delivery.envelope.job_id}:{delivery.envelope.dispatch_id}") > 0


async def test_those_that_run_beside_it_are_reported_with_it(driver: Driver, behind: Behind) -> None:
    await driver.put_all([envelope() for _ in range(3)])
    started = await driver.start()
    remove_record(behind, started[1])
    reports = [report_on(delivery, ReportKind.COMPLETED) for delivery in started]
    assert (await driver.exchange(reports)).verdicts == (Verdict.APPLIED,) * 3
    assert await driver.counts() == {"COMPLETED": 3}


async def test_its_retry_goes_on_counting(driver: Driver, behind: Behind) -> None:
    first = await driver.put_running("d-1")
    await driver.report(first, ReportKind.RETRY, error="no")
    second = await driver.start_one()
    remove_record(behind, second)
    assert await driver.report(second, ReportKind.RETRY, error="no") is Verdict.APPLIED
    third = await driver.start_one()
    assert (third.retries, third.token) == (2, 3)
    assert await driver.counts() == {"RUNNING": 1}


async def test_it_stays_with_its_worker_that_beats(make_driver: MakeDriver, behind: Behind) -> None:
    driver = make_driver(lease=SHORT_LEASE_MS)
    delivery = await put_running(driver)
    remove_record(behind, delivery)
    assert (await driver.beat(delivery)).lost == ()
    assert await driver.status(delivery.envelope.dispatch_id) is JobStatus.RUNNING
    await driver.finish(delivery)
    assert await driver.counts() == {"COMPLETED": 1}


@pytest.mark.parametrize("fields", KINDS_OF_JOB)
async def test_after_its_lease_it_runs_again(make_driver: MakeDriver, behind: Behind, fields: dict[str, Any]) -> None:
    driver = make_driver(lease=SHORT_LEASE_MS)
    first = await put_running(driver, **fields)
    remove_record(behind, first)
    second = await driver.start_one(by=session("worker-2"))
    assert second.envelope == first.envelope
    assert second.token > first.token
    assert await driver.counts() == {"RUNNING": 1}
    assert await driver.report(first, ReportKind.COMPLETED) is Verdict.LOST
    remove_record(behind, second)
    assert await driver.report(first, ReportKind.COMPLETED) is Verdict.LOST
    assert await driver.report(second, ReportKind.COMPLETED, by=session("worker-3")) is Verdict.LOST


async def test_one_that_was_cancelled_does_not_run_again(make_driver: MakeDriver, behind: Behind) -> None:
    driver = make_driver(lease=SHORT_LEASE_MS)
    delivery = await driver.put_running("d-1")
    assert await driver.cancel("d-1") == [True]
    remove_record(behind, delivery)
    assert await driver.report(delivery, ReportKind.COMPLETED) is Verdict.LOST

    async def is_over() -> bool:
        assert await driver.start() == []
        return bool(behind.command("ZCARD", behind.key("leases:emails")) == 0)

    await eventually(is_over)
    await driver.transport.maintain("emails")
    assert await driver.start() == []
    assert await driver.counts() == {"CANCELLED": 1}


async def test_one_that_was_given_back_is_not_taken_again_by_a_late_report(driver: Driver, behind: Behind) -> None:
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.UNSTARTED)
    remove_record(behind, delivery)
    assert await driver.report(delivery, ReportKind.COMPLETED) is Verdict.LOST
    assert ids(await driver.start()) == ["d-1"]
