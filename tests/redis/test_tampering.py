"""Keys that somebody removed, or that hold something else: service goes on, and nothing runs twice without need."""

import asyncio
import logging

import pytest

from heracles.errors import TransportError
from heracles.model import JobStatus, ReportKind, Verdict
from tests.conformance.driver import LATER_MS, SHORT_LEASE_MS, Driver, envelope, ids, report_on
from tests.redis.conftest import Behind, MakeDriver
from tests.waiting import eventually


async def test_an_emptied_store_serves_at_once(driver: Driver, behind: Behind) -> None:
    delivery = await driver.put_running("d-1")
    await driver.put("d-2")
    for name in behind.names():
        behind.delete(name)
    assert await driver.start() == []
    assert await driver.report(delivery, ReportKind.COMPLETED) is Verdict.LOST
    assert ids([await driver.put_running("d-3")]) == ["d-3"]
    assert await driver.counts() == {"RUNNING": 1}
    assert await driver.transport.queues() == ["emails"]


async def test_a_script_cache_that_was_flushed_is_filled_again(driver: Driver, behind: Behind) -> None:
    await driver.put("d-1")
    behind.command("SCRIPT", "FLUSH")
    await asyncio.gather(*(driver.put(f"d-{number}") for number in range(2, 9)))
    assert len(await driver.start()) == 8


async def test_a_lost_group_starts_nothing_twice(driver: Driver, behind: Behind) -> None:
    first = await driver.put_running("d-1")
    await driver.finish(await driver.put_running("d-2"))
    await driver.put("d-3")
    behind.command("XGROUP", "DESTROY", behind.key("stream:emails"), "workers")
    assert ids(await driver.start()) == ["d-3"]
    await driver.finish(first)
    assert await driver.counts() == {"COMPLETED": 2, "RUNNING": 1}
    assert await driver.start() == []


async def test_a_lost_group_keeps_what_was_given_back_in_its_place(driver: Driver, behind: Behind) -> None:
    await driver.put_all([envelope(dispatch_id=f"d-{number}") for number in range(3)])
    (first,) = await driver.start(1)
    await driver.report(first, ReportKind.UNSTARTED)
    behind.command("XGROUP", "DESTROY", behind.key("stream:emails"), "workers")
    assert ids(await driver.start()) == ["d-0", "d-1", "d-2"]


async def test_a_lost_group_runs_nothing_again_whose_record_has_expired(driver: Driver, behind: Behind) -> None:
    made = envelope()
    await driver.put_all([made])
    await driver.finish(await driver.start_one())
    behind.delete(f"status:emails:{made.job_id}:{made.dispatch_id}")
    behind.command("XGROUP", "DESTROY", behind.key("stream:emails"), "workers")
    assert await driver.start() == []


async def test_reports_under_a_lost_group_count(driver: Driver, behind: Behind) -> None:
    delivery = await driver.put_running("d-1")
    behind.command("XGROUP", "DESTROY", behind.key("stream:emails"), "workers")
    await driver.finish(delivery)
    assert await driver.start() == []
    assert await driver.status("d-1") is JobStatus.COMPLETED


@pytest.mark.parametrize("is_dispatched_to", [True, False])
async def test_a_removed_stream_fails_what_had_waited_in_it(
    driver: Driver, behind: Behind, is_dispatched_to: bool
) -> None:
    await driver.put("d-1")
    behind.delete("stream:emails")
    if is_dispatched_to:
        await driver.put("d-2")
    assert ids(await driver.start()) == (["d-2"] if is_dispatched_to else [])

    async def has_failed() -> bool:
        return await driver.status("d-1") is JobStatus.FAILED

    # The worker that finds the stream gone looks at once for what stood in it.
    await eventually(has_failed)
    record = await driver.find("d-1")
    assert record.error is not None
    assert "arguments are gone" in record.error
    assert await driver.counts() == {"FAILED": 1, **({"RUNNING": 1} if is_dispatched_to else {})}


async def test_a_waiting_job_whose_entry_alone_was_removed_fails_at_the_next_pass(
    driver: Driver, behind: Behind
) -> None:
    await driver.put("d-1")
    await driver.put("d-2")
    (message, _), _ = behind.command("XRANGE", behind.key("stream:emails"), "-", "+")
    behind.command("XDEL", behind.key("stream:emails"), message)
    assert ids(await driver.start()) == ["d-2"]
    assert await driver.status("d-1") is JobStatus.PENDING
    await driver.transport.maintain("emails")
    record = await driver.find("d-1")
    assert record.status is JobStatus.FAILED
    assert "arguments are gone" in (record.error or "")


async def test_a_new_queue_has_lost_nothing(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    assert await driver.start() == []
    await driver.put("d-1", priority=5)
    assert ids(await driver.start()) == ["d-1"]
    await driver.transport.close()
    assert not caplog.records


async def test_what_ran_when_its_stream_was_removed_can_be_reported(driver: Driver, behind: Behind) -> None:
    first, second, third = [await driver.put_running(f"d-{number}") for number in range(3)]
    behind.delete("stream:emails")
    await driver.finish(first)
    assert await driver.report(second, ReportKind.RETRY, error="no") is Verdict.APPLIED
    assert await driver.report(third, ReportKind.RETURNED) is Verdict.APPLIED
    assert await driver.counts() == {"COMPLETED": 1, "FAILED": 2}


@pytest.mark.parametrize("has_custom_ids", [True, False])
async def test_a_waiting_job_without_its_record_is_started(
    driver: Driver, behind: Behind, has_custom_ids: bool
) -> None:
    made = envelope(dispatch_id="d-1") if has_custom_ids else envelope()
    await driver.put_all([made])
    behind.delete(f"status:emails:{made.job_id}:{made.dispatch_id}")
    assert ids(await driver.start()) == [made.dispatch_id]
    assert await driver.counts() == {"RUNNING": 1}


async def test_leases_that_were_removed_are_made_anew_by_the_next_beat(make_driver: MakeDriver, behind: Behind) -> None:
    driver = make_driver(lease=SHORT_LEASE_MS)
    delivery = await driver.put_running("d-1")
    behind.delete("leases:emails")
    assert await driver.beat(delivery) == type(await driver.beat())()
    assert behind.command("ZCARD", behind.key("leases:emails")) == 1


async def test_running_without_a_lease_is_reclaimed(driver: Driver, behind: Behind) -> None:
    await driver.put_running("d-1")
    behind.delete("leases:emails")
    swept = await driver.transport.maintain("emails")
    assert swept.reclaimed == 1
    assert ids(await driver.start()) == ["d-1"]


async def test_a_pending_entry_that_was_acknowledged_loses_nothing(make_driver: MakeDriver, behind: Behind) -> None:
    driver = make_driver(lease=SHORT_LEASE_MS)
    await driver.put_running("d-1")
    await driver.put_running("d-2")
    record = await driver.find("d-1")
    assert record.token == 1
    for message in behind.command("XRANGE", behind.key("stream:emails"), "-", "+"):
        behind.command("XACK", behind.key("stream:emails"), "workers", message[0])
    started: set[str] = set()

    async def have_both() -> bool:
        started.update(ids(await driver.start()))
        return started == {"d-1", "d-2"}

    await eventually(have_both)


async def _started(driver: Driver, names: set[str]) -> bool:
    return names <= set(ids(await driver.start()))


async def test_entries_that_were_read_and_never_started_are_found(make_driver: MakeDriver, behind: Behind) -> None:
    driver = make_driver(lease=SHORT_LEASE_MS)
    await driver.put("d-1")
    behind.command(
        "XREADGROUP", "GROUP", "workers", "somebody", "COUNT", 9, "STREAMS", behind.key("stream:emails"), ">"
    )
    assert await driver.start() == []

    async def found() -> bool:
        await driver.transport.maintain("emails")
        return await _started(driver, {"d-1"})

    await eventually(found)


@pytest.mark.parametrize("lost", ["lock:emails:j", "overlap:emails:j"])
async def test_one_of_lock_and_line_keeps_them_apart(driver: Driver, behind: Behind, lost: str) -> None:
    first = await driver.put_running("d-1", job_id="j", no_overlap=True)
    await driver.put("d-2", job_id="j", no_overlap=True)
    behind.delete(lost)
    await driver.put("d-3", job_id="j", no_overlap=True)
    assert await driver.start() == []
    await driver.finish(first)
    if lost.startswith("overlap"):
        await driver.transport.maintain("emails")
    started: list[str] = []

    async def run_one() -> bool:
        deliveries = await driver.start()
        assert len(deliveries) <= 1
        for delivery in deliveries:
            started.append(delivery.envelope.dispatch_id)
            await driver.finish(delivery)
        return len(started) == 2

    await eventually(run_one)
    assert {*started} == {"d-2", "d-3"}


async def test_an_index_of_priorities_that_was_removed_is_made_anew(driver: Driver, behind: Behind) -> None:
    await driver.put("d-1", priority=5)
    behind.delete("priorities:emails")
    await driver.transport.maintain("emails")
    assert ids(await driver.start()) == ["d-1"]


async def test_sets_that_were_removed_strand_nobody(driver: Driver, behind: Behind) -> None:
    await driver.put("d-1", delay_ms=LATER_MS)
    await driver.report(await driver.put_running("d-2"), ReportKind.RETRY, error="no", delay_ms=LATER_MS)
    behind.delete("scheduled:emails", "delayed:emails")
    await driver.transport.maintain("emails")
    assert sorted(ids(await driver.start())) == ["d-1", "d-2"]


async def test_counters_that_were_removed_are_no_less_than_zero(driver: Driver, behind: Behind) -> None:
    delivery = await driver.put_running("d-1")
    behind.delete("meta:emails")
    await driver.finish(delivery)
    assert await driver.counts() == {"COMPLETED": 1}
    cursor = await driver.cursor()
    await driver.put("d-2")
    assert [change.dispatch_id for change in await driver.changes(cursor)] == ["d-2"]


async def _use(driver: Driver) -> None:
    await driver.put("d-1")
    await driver.start()


@pytest.mark.parametrize("kind", ["stream:emails", "meta:emails", "scheduled:emails", "leases:emails"])
async def test_a_key_of_the_wrong_type_is_one_clear_error(driver: Driver, behind: Behind, kind: str) -> None:
    behind.client.set(behind.key(kind), "something else")
    with pytest.raises(TransportError, match="key_prefix"):
        await _use(driver)
    behind.delete(kind)
    await driver.put("d-2")
    assert "d-2" in ids(await driver.start())


async def test_a_job_whose_record_is_something_else_holds_up_no_other(
    driver: Driver, behind: Behind, caplog: pytest.LogCaptureFixture
) -> None:
    await driver.put("d-1", job_id="j")
    await driver.put("d-2")
    behind.delete("status:emails:j:d-1")
    behind.client.set(behind.key("status:emails:j:d-1"), "something else")
    with caplog.at_level(logging.WARNING, "heracles.redis"):
        assert ids(await driver.start()) == ["d-2"]
    assert "WRONGTYPE" in caplog.text


async def test_events_of_the_wrong_type_are_replaced(driver: Driver, behind: Behind) -> None:
    behind.client.set(behind.key("events:emails"), "something else")
    await driver.put("d-1")
    assert ids(await driver.start()) == ["d-1"]


async def test_a_report_on_a_job_of_the_wrong_type_is_lost(driver: Driver, behind: Behind) -> None:
    first = await driver.put_running("d-1", job_id="j")
    second = await driver.put_running("d-2")
    behind.delete("status:emails:j:d-1")
    behind.client.set(behind.key("status:emails:j:d-1"), "something else")
    reports = [report_on(delivery, ReportKind.COMPLETED) for delivery in (first, second)]
    assert (await driver.exchange(reports)).verdicts == (Verdict.LOST, Verdict.APPLIED)
