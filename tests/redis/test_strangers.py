"""What others have written into keys of this queue: it costs one job at most, and that one ends."""

import asyncio
import logging
from typing import Any

import pytest

from heracles.errors import TransportError
from heracles.model import Envelope, Exchange, JobStatus, ReportKind, Verdict
from tests.conformance.driver import LATER_MS, Driver, ids, report_on
from tests.redis.conftest import Behind

NO_STREAM_IDS = ["", "garbage", "1-", "-", "+", "9" * 30 + "-0", "1-" + "9" * 30, "\xff"]


def change_record(behind: Behind, made: Envelope, field: str, value: str) -> None:
    assert behind.command("HSET", behind.key(f"status:emails:{made.job_id}:{made.dispatch_id}"), field, value) == 0


def make_something_else(behind: Behind, rest: str) -> None:
    behind.client.set(behind.key(rest), "something else")


# ---------------------------------------------------------------------------------------- where a job's entry stands


@pytest.mark.parametrize("is_maintained", [True, False])
async def test_a_job_whose_record_names_no_entry_is_started(
    driver: Driver, behind: Behind, is_maintained: bool
) -> None:
    names = [f"d-{number}" for number in range(len(NO_STREAM_IDS))]
    for name, junk in zip(names, NO_STREAM_IDS, strict=True):
        change_record(behind, await driver.put(name), "messageId", junk)
    await driver.put("other")
    if is_maintained:
        await driver.transport.maintain("emails")
    started = await driver.start()
    assert ids(started) == [*names, "other"]
    for delivery in started:
        await driver.finish(delivery)
    assert await driver.counts() == {"COMPLETED": len(names) + 1}


async def test_a_job_whose_record_names_an_entry_that_is_not_there_is_started(driver: Driver, behind: Behind) -> None:
    change_record(behind, await driver.put("d-1"), "messageId", "5-5")
    assert ids(await driver.start()) == ["d-1"]


async def test_a_job_whose_record_names_no_entry_can_be_cancelled(driver: Driver, behind: Behind) -> None:
    for name in ("d-1", "d-2"):
        change_record(behind, await driver.put(name), "messageId", "garbage")
    assert await driver.cancel("d-1") == [True]
    assert await driver.transport.clear("emails") == 1
    assert await driver.start() == []
    assert await driver.counts() == {"CANCELLED": 2}
    assert behind.entries("stream:emails") == []


async def test_what_names_no_entry_and_has_none_fails(driver: Driver, behind: Behind) -> None:
    change_record(behind, await driver.put("d-1"), "messageId", "garbage")
    (message, _), *_ = behind.command("XRANGE", behind.key("stream:emails"), "-", "+")
    behind.command("XDEL", behind.key("stream:emails"), message)
    await driver.transport.maintain("emails")
    record = await driver.find("d-1")
    assert record.status is JobStatus.FAILED
    assert record.error is not None
    assert "arguments are gone" in record.error


# ------------------------------------------------------------------------------------------------------------ status


@pytest.mark.parametrize("is_maintained", [True, False])
@pytest.mark.parametrize("fields", [{}, {"job_id": "j", "no_overlap": True}, {"delay_ms": 1}, {"priority": 3}])
async def test_a_waiting_job_with_a_status_that_is_none_is_started(
    driver: Driver, behind: Behind, fields: dict[str, Any], is_maintained: bool
) -> None:
    change_record(behind, await driver.put("d-1", **fields), "status", "garbage")
    if is_maintained:
        await driver.transport.maintain("emails")
    delivery = await driver.start_one()
    assert delivery.envelope.dispatch_id == "d-1"
    await driver.finish(delivery)
    assert await driver.counts() == {"COMPLETED": 1}


async def test_one_that_waits_behind_another_is_started_after_it(driver: Driver, behind: Behind) -> None:
    first = await driver.put_running("d-1", job_id="j", no_overlap=True)
    change_record(behind, await driver.put("d-2", job_id="j", no_overlap=True), "status", "garbage")
    await driver.transport.maintain("emails")
    assert await driver.start() == []
    await driver.finish(first)
    assert ids(await driver.start()) == ["d-2"]


async def test_a_run_whose_status_is_none_is_reported(driver: Driver, behind: Behind) -> None:
    delivery = await driver.put_running("d-1")
    change_record(behind, delivery.envelope, "status", "garbage")
    await driver.finish(delivery)
    assert await driver.counts() == {"COMPLETED": 1}


async def test_a_record_of_which_nothing_else_is_left_fails(driver: Driver, behind: Behind) -> None:
    change_record(behind, await driver.put("d-1"), "status", "garbage")
    behind.delete("stream:emails")
    for _ in range(2):
        await driver.transport.maintain("emails")
    assert await driver.status("d-1") is JobStatus.FAILED
    assert await driver.counts() == {"FAILED": 1}


# ------------------------------------------------------------------------------------------------ keys of other types


async def put_broken(driver: Driver, behind: Behind, **fields: Any) -> str:
    """A job whose record is something else; the name of its key."""
    made = await driver.put("broken", **fields)
    key = f"status:emails:{made.job_id}:broken"
    behind.delete(key)
    make_something_else(behind, key)
    return key


@pytest.mark.parametrize("fields", [{}, {"delay_ms": LATER_MS}])
async def test_lists_and_upkeep_go_past_a_record_that_is_something_else(
    driver: Driver, behind: Behind, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    key = await put_broken(driver, behind, **fields)
    await driver.put("d-1")
    assert [record.dispatch_id for record in await driver.transport.page("emails", None, 10)] == ["d-1"]
    with caplog.at_level(logging.WARNING, "heracles.redis"):
        await driver.transport.maintain("emails")
    assert behind.key(key) in caplog.text
    assert await driver.transport.find("emails", "broken") is None
    with pytest.raises(TransportError, match=key):
        await driver.cancel("broken")
    assert await driver.transport.clear("emails") == 1
    assert await driver.status("d-1") is JobStatus.CANCELLED


async def test_upkeep_puts_right_what_stands_beside_it(driver: Driver, behind: Behind) -> None:
    await put_broken(driver, behind)
    await driver.put_running("d-1")
    behind.delete("leases:emails")
    assert (await driver.transport.maintain("emails")).reclaimed == 1


async def test_a_beat_loses_it_alone(driver: Driver, behind: Behind) -> None:
    first, second = await driver.put_running("d-1", job_id="j"), await driver.put_running("d-2")
    behind.delete("status:emails:j:d-1")
    make_something_else(behind, "status:emails:j:d-1")
    assert (await driver.beat(first, second)).lost == (driver.held(first),)


async def test_the_line_of_a_job_id_goes_past_it(driver: Driver, behind: Behind) -> None:
    first = await driver.put_running("d-1", job_id="j", no_overlap=True)
    await put_broken(driver, behind, job_id="j", no_overlap=True)
    await driver.put("d-3", job_id="j", no_overlap=True)
    await driver.finish(first)
    assert ids(await driver.start()) == ["d-3"]


async def test_a_lock_that_is_something_else_costs_its_job_alone(driver: Driver, behind: Behind) -> None:
    first, second = await driver.put_running("d-1", job_id="j", no_overlap=True), await driver.put_running("d-2")
    behind.delete("lock:emails:j")
    behind.command("SADD", behind.key("lock:emails:j"), "something else")
    reports = [report_on(delivery, ReportKind.COMPLETED) for delivery in (first, second)]
    assert (await driver.exchange(reports)).verdicts == (Verdict.APPLIED, Verdict.APPLIED)


async def test_a_worker_that_is_something_else_is_left_out(
    driver: Driver, behind: Behind, caplog: pytest.LogCaptureFixture
) -> None:
    await driver.beat()
    behind.command("ZADD", behind.key("workers"), 9e15, "other")
    make_something_else(behind, "worker:other")
    with caplog.at_level(logging.WARNING, "heracles.redis"):
        assert [worker.id for worker in await driver.transport.workers()] == [driver.session.worker_id]
    assert behind.key("worker:other") in caplog.text


# ------------------------------------------------------------------------------------------------------------ events


async def test_what_others_tell_as_events_is_passed_over(driver: Driver, behind: Behind) -> None:
    events = behind.key("events:emails")
    cursor = await driver.cursor()
    await driver.put("d-1")
    await driver.put("d-2")
    (_, first), (seen, _) = behind.command("XRANGE", events, "-", "+")
    behind.delete("events:emails")
    behind.command("XADD", events, "0-1", "junk", "x")
    behind.command("XADD", events, "1-0", *first)
    behind.command("XADD", events, seen, "at", "no time", "d-2:j", "garbage")
    await driver.put("d-3")
    assert [change.dispatch_id for change in await driver.changes(cursor)] == ["d-1", "d-3"]


async def test_changes_that_another_server_tells_under_the_same_numbers_are_a_gap(
    driver: Driver, behind: Behind
) -> None:
    """As after a failover to a replica that had not heard of the last ones."""
    await driver.put("d-1")
    await driver.put("d-2")
    cursor = await driver.cursor()
    (_, (last, _)) = behind.command("XRANGE", behind.key("events:emails"), "-", "+")
    behind.command("XDEL", behind.key("events:emails"), last)
    behind.command("XADD", behind.key("events:emails"), "2-1", "at", "1", "d-3:j", "pending")
    await driver.put("d-4")
    (gap,) = (await driver.transport.changes("emails", cursor, 0)).changes
    assert gap.status is None


async def test_an_event_ahead_of_all_others_is_no_hot_loop(driver: Driver, behind: Behind) -> None:
    await driver.put("d-1")
    cursor = await driver.cursor()
    behind.command("XADD", behind.key("events:emails"), "*", "junk", "x")
    before = int(behind.client.info("stats")["total_commands_processed"])
    assert (await driver.transport.changes("emails", cursor, 500)).changes == ()
    assert int(behind.client.info("stats")["total_commands_processed"]) - before < 100
    waiting = asyncio.create_task(driver.transport.changes("emails", cursor, 10_000))
    await driver.put("d-2")
    # That the counter was overtaken is a gap at worst.
    assert (await waiting).changes


# ----------------------------------------------------------------------------------------------------------- entries

UNUSABLE = {
    b"[1": "options is no JSON object",
    b'{"scheduledFor":"no time"}': "scheduledFor",
    b'{"maxRetries":"many"}': "maxRetries",
    b'{"timeout":1.5e300}': "timeout",
    b'{"a":' * 20_000: "options is no JSON object",
    b"\xff": "options is no JSON object",
}


async def start_with_options(driver: Driver, behind: Behind, options: bytes, **exchange: Any) -> Exchange:
    """An entry of ours whose options somebody has changed, and another one behind it."""
    made = await driver.put("d-1")
    stream = behind.key("stream:emails")
    ((message, flat),) = behind.command("XRANGE", stream, "-", "+")
    behind.command("XDEL", stream, message)
    change_record(behind, made, "messageId", behind.command("XADD", stream, "*", *flat, "options", options).decode())
    await driver.put("d-2")
    return await driver.exchange(slots=10, **exchange)


@pytest.mark.parametrize("options", UNUSABLE)
async def test_options_that_cannot_be_read_fail_their_job(driver: Driver, behind: Behind, options: bytes) -> None:
    answer = await start_with_options(driver, behind, options)
    assert ids(answer.started) == ["d-2"]
    record = await driver.find("d-1")
    assert record.status is JobStatus.FAILED
    assert record.error is not None
    assert UNUSABLE[options] in record.error
    assert not answer.paused
    assert await driver.counts() == {"FAILED": 1, "RUNNING": 1}


async def test_such_a_failure_pauses_the_queue_where_failures_do(driver: Driver, behind: Behind) -> None:
    await start_with_options(driver, behind, b"[1", pause_on_error=True)
    assert (await driver.transport.overview("emails")).gates.paused


async def test_such_a_job_that_was_started_unheard_fails_too(driver: Driver, behind: Behind) -> None:
    made = await driver.put("d-1")
    await driver.start()
    stream = behind.key("stream:emails")
    ((message, flat),) = behind.command("XRANGE", stream, "-", "+")
    behind.delete("stream:emails")
    behind.command("XADD", stream, message, *flat, "options", "[1")
    behind.command("XGROUP", "CREATE", stream, "workers", "0")
    behind.command("XREADGROUP", "GROUP", "workers", driver.session.consumer, "STREAMS", stream, ">")
    assert list(await driver.transport.recover("emails", driver.session, ())) == []
    assert await driver.status(made.dispatch_id) is JobStatus.FAILED


@pytest.mark.parametrize("status", ["garbage", "running", "pending"])
async def test_a_record_that_belongs_to_nothing_is_left_alone(driver: Driver, behind: Behind, status: str) -> None:
    behind.command("HSET", behind.key("status:emails:j:nobody"), "status", status, "createdAt", "x", "adopted", "x")
    for _ in range(2):
        await driver.transport.maintain("emails")
        assert await driver.start() == []
    assert await driver.transport.page("emails", None, 10) == []
    assert await driver.counts() == {}
