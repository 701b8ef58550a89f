"""Entries that other programs wrote, the original in TypeScript first of all."""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from heracles.model import Delivery, JobOverlapBehavior, JobStatus, ReportKind, SignalKind
from heracles.redis.store import Store
from heracles.units import now_ms, to_iso
from tests.conformance.driver import LATER_MS, Driver, ids, is_woken
from tests.redis.conftest import Behind, MakeDriver
from tests.waiting import eventually

ORIGINAL = json.loads((Path(__file__).parent / "data" / "typescript-0.6.1.json").read_text())
Fields = Sequence[tuple[str, str]]


def entry(**changes: str | None) -> Fields:
    """An entry as the original writes them; None leaves a field out."""
    fields: dict[str, str | None] = {
        "type": "job:process",
        "timestamp": str(now_ms()),
        "queue": "emails",
        "job": "elysium.heracles.job.SendEmailJob",
        "args": '["a@example.com"]',
        "jobId": "job_1795508784095_g5DVAutH",
        "dispatchId": "dispatch_1795508784095_Lt3Ej4mK",
        "options": '{"priority":0}',
        **changes,
    }
    return [(name, value) for name, value in fields.items() if value is not None]


def options(**given: Any) -> str:
    return json.dumps({"priority": 0, "maxRetries": 3, **given})


class Producer:
    """Writes as the original does: the entry, then its hash."""

    def __init__(self, behind: Behind) -> None:
        self._behind = behind

    def write(self, fields: Fields, stream: str = "stream:emails") -> str:
        """The entry alone."""
        words = [word for pair in fields for word in pair]
        message: bytes = self._behind.command("XADD", self._behind.key(stream), "*", *words)
        return message.decode()

    def write_hash(self, fields: Fields, message: str) -> str:
        """Its hash; the name of the key."""
        has = dict(fields)
        rest = f"status:emails:{has['jobId']}:{has['dispatchId']}"
        now = to_iso(now_ms())
        record: dict[Any, Any] = {
            "jobId": has["jobId"],
            "dispatchId": has["dispatchId"],
            "queue": "emails",
            "status": "pending",
            "retries": "0",
            "createdAt": now,
            "updatedAt": now,
            "messageId": message,
        }
        self._behind.client.hset(self._behind.key(rest), mapping=record)
        self._behind.client.expire(self._behind.key(rest), 86_400)
        return rest

    def dispatch(self, fields: Fields) -> str:
        """Both; the name of the hash."""
        return self.write_hash(fields, self.write(fields))


@pytest.fixture
def producer(behind: Behind) -> Producer:
    return Producer(behind)


async def start_all(driver: Driver, count: int) -> list[Delivery]:
    """Look until so many have started."""
    started: list[Delivery] = []

    async def look() -> bool:
        started.extend(await driver.start(count - len(started)))
        return len(started) >= count

    await eventually(look, what=f"{count} jobs to start")
    return started


def _written(hashes: Mapping[str, Mapping[str, str]], fields: Fields) -> Mapping[str, str] | None:
    has = dict(fields)
    return hashes.get(f"elysium:heracles:status:emails:{has.get('jobId')}:{has.get('dispatchId')}")


async def test_what_the_original_wrote_is_understood(driver: Driver, behind: Behind, producer: Producer) -> None:
    for fields in ORIGINAL["entries"][:3]:
        message = producer.write(fields)
        record = _written(ORIGINAL["hashes"], fields)
        assert record is not None
        rest = f"status:emails:{record['jobId']}:{record['dispatchId']}"
        written: dict[Any, Any] = {**record, "messageId": message}
        behind.client.hset(behind.key(rest), mapping=written)
        behind.client.expire(behind.key(rest), 86_400)
    started = {delivery.envelope.job_id: delivery for delivery in await start_all(driver, 3)}
    first = started["job_1795508784095_g5DVAutH"].envelope
    assert (first.name, first.priority, first.max_retries, first.retry_delay_ms) == ("SendEmailJob", 10, 3, 5000)
    assert json.loads(first.args) == ["user@example.com", "Welcome!", "Hello"]
    scheduled = started["welcome-42"].envelope
    assert (scheduled.priority, scheduled.max_retries, scheduled.retry_delay_ms) == (5, 5, 10_000)
    assert scheduled.scheduled_for_ms is not None
    exclusive = started["exclusive-a"].envelope
    assert (exclusive.no_overlap, exclusive.overlap_delay_ms) == (True, 1500)
    assert behind.client.get(behind.key("lock:emails:exclusive-a")) == exclusive.dispatch_id.encode()
    for delivery in started.values():
        await driver.finish(delivery)
    assert await driver.counts() == {"COMPLETED": 3}


async def test_the_hash_loses_its_time_to_live_until_the_job_ends(
    driver: Driver, behind: Behind, producer: Producer
) -> None:
    rest = producer.dispatch(entry())
    (delivery,) = await start_all(driver, 1)
    assert behind.ttl(rest) == -1
    await driver.finish(delivery)
    found = behind.hash(rest)
    assert (found["status"], found["jobId"]) == ("completed", "job_1795508784095_g5DVAutH")
    assert 86_000 < behind.ttl(rest) <= 86_400


async def test_an_entry_waits_for_its_hash(driver: Driver, producer: Producer) -> None:
    fields = entry()
    message = producer.write(fields)
    assert await driver.start() == []
    await asyncio.sleep(0.1)
    assert await driver.start() == []
    producer.write_hash(fields, message)
    (delivery,) = await start_all(driver, 1)
    assert delivery.envelope.dispatch_id == "dispatch_1795508784095_Lt3Ej4mK"


async def test_a_hash_that_never_comes_is_written(driver: Driver, behind: Behind, producer: Producer) -> None:
    producer.write(entry(jobId="j", dispatchId="d-1"))
    (delivery,) = await start_all(driver, 1)
    assert delivery.envelope.job_id == "j"
    found = behind.hash("status:emails:j:d-1")
    assert found["status"] == "running"
    assert found["createdAt"]


async def test_waiting_for_one_hash_holds_up_no_other_job(driver: Driver, producer: Producer) -> None:
    producer.write(entry())
    await driver.put("d-1")
    assert ids(await driver.start(2)) == ["d-1"]


async def test_entries_are_known_from_the_first_read_on(driver: Driver, producer: Producer) -> None:
    cursor = await driver.cursor()
    producer.dispatch(entry(jobId="j", dispatchId="d-1"))
    await start_all(driver, 1)
    assert (await driver.find("d-1")).status is JobStatus.RUNNING
    assert (await driver.find("j")).dispatch_id == "d-1"
    assert [change.status for change in await driver.changes(cursor)] == [JobStatus.PENDING, JobStatus.RUNNING]
    assert await driver.counts() == {"RUNNING": 1}
    assert await driver.cancel("j") == [True]


async def test_an_adopted_job_wakes_a_listener(driver: Driver, producer: Producer) -> None:
    listener = driver.listen()
    await listener.wait(50)
    producer.dispatch(entry())
    await driver.start()
    assert await is_woken(listener, SignalKind.WORK)
    await listener.close()


async def test_an_adopted_job_keeps_its_place(driver: Driver, producer: Producer) -> None:
    producer.dispatch(entry())
    await driver.put("d-1")
    await driver.start(1)
    await eventually(lambda: _is_pending(driver, 2), what="the entry to be adopted")
    assert ids(await driver.start(1)) == ["dispatch_1795508784095_Lt3Ej4mK"]


def _numbered(number: int, **given: Any) -> Fields:
    return entry(jobId=f"j-{number}", dispatchId=f"d-{number}", options=options(**given))


async def _one_by_one(driver: Driver, count: int) -> list[str]:
    found = []
    for _ in range(count):
        (delivery,) = await start_all(driver, 1)
        found.append(delivery.envelope.dispatch_id)
    return found


async def test_priorities_hold_among_entries_that_nobody_has_read(driver: Driver, producer: Producer) -> None:
    for number, priority in enumerate([0, 50, 5, 10, 1, 5]):
        producer.dispatch(_numbered(number, priority=priority))
    assert await _one_by_one(driver, 6) == ["d-4", "d-2", "d-5", "d-0", "d-3", "d-1"]


async def test_entries_are_adopted_in_the_order_in_which_they_were_read(
    driver: Driver, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, may_go_on, looks_ahead = Store.run, asyncio.Event(), asyncio.Event()

    async def slow(store: Store, name: str, queue: str, *arguments: Any, **options: Any) -> Any:
        if name == "adopt" and arguments[1] == "0":
            looks_ahead.set()
            await may_go_on.wait()
        return await inner(store, name, queue, *arguments, **options)

    monkeypatch.setattr(Store, "run", slow)
    for number, priority in enumerate([0, 0, 5]):
        producer.dispatch(_numbered(number, priority=priority))
    assert not await driver.start(1)
    await looks_ahead.wait()
    for _ in range(20):
        assert not await driver.start(1), "the first is not adopted yet"
    may_go_on.set()
    assert await _one_by_one(driver, 3) == ["d-2", "d-0", "d-1"]


async def test_the_default_priority_given_or_not_is_one_line(driver: Driver, producer: Producer) -> None:
    for number, priority in enumerate([10, 0, 10]):
        producer.dispatch(_numbered(number, priority=priority))
    await driver.put("d-3")
    assert await _one_by_one(driver, 4) == ["d-0", "d-1", "d-2", "d-3"]


async def test_no_entry_of_a_line_overtakes_in_it(driver: Driver, producer: Producer) -> None:
    for number, priority in enumerate([0, 5]):
        exclusive = options(priority=priority, overlapBehavior="no_overlap")
        producer.dispatch(entry(jobId="j", dispatchId=f"d-{number}", options=exclusive))
    (first,) = await start_all(driver, 1)
    await driver.finish(first)
    (second,) = await start_all(driver, 1)
    assert [first.envelope.dispatch_id, second.envelope.dispatch_id] == ["d-0", "d-1"]


async def test_an_urgent_entry_without_a_hash_is_left_to_its_turn(driver: Driver, producer: Producer) -> None:
    producer.dispatch(_numbered(0, priority=0))
    producer.write(_numbered(1, priority=5))
    assert await _one_by_one(driver, 2) == ["d-0", "d-1"]


async def _is_pending(driver: Driver, count: int) -> bool:
    return await driver.counts() == {"PENDING": count}


async def test_a_time_ahead_is_waited_for(driver: Driver, behind: Behind, producer: Producer) -> None:
    due_ms = now_ms() + LATER_MS
    rest = producer.dispatch(entry(options=options(scheduledFor=to_iso(due_ms))))
    await driver.start()
    await eventually(lambda: _is_pending(driver, 1))
    assert behind.hash(rest)["scheduledFor"] == to_iso(due_ms)
    assert behind.entries("stream:emails") == []
    assert (await driver.transport.overview("emails")).scheduled == 1
    assert await driver.start() == []


async def test_one_that_is_retried_and_given_back_starts_again(driver: Driver, producer: Producer) -> None:
    producer.dispatch(entry())
    (delivery,) = await start_all(driver, 1)
    await driver.report(delivery, ReportKind.RETRY, error="no")
    (delivery,) = await start_all(driver, 1)
    await driver.report(delivery, ReportKind.RETURNED)
    (delivery,) = await start_all(driver, 1)
    await driver.report(delivery, ReportKind.UNSTARTED)
    (delivery,) = await start_all(driver, 1)
    assert (delivery.envelope.args, delivery.retries) == (b'["a@example.com"]', 1)
    await driver.finish(delivery)
    assert await driver.counts() == {"COMPLETED": 1}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"args": "{}"}, "args"),
        ({"args": "[1"}, "args"),
        ({"args": "[" * 100_000}, "args"),
        ({"args": None}, "args"),
        ({"kwargs": "[]"}, "kwargs"),
        ({"job": None}, "job"),
        ({"job": "elysium.heracles.job."}, "job"),
        ({"options": "7"}, "options"),
        ({"options": '{"priority":"high"}'}, "priority"),
        ({"options": '{"priority":101}'}, "priority"),
        ({"options": '{"scheduledFor":"tomorrow"}'}, "scheduledFor"),
        ({"options": '{"scheduledFor":"2026-11-24T09:26:24"}'}, "scheduledFor"),
        ({"options": '{"overlapBehavior":"sometimes"}'}, "overlapBehavior"),
        ({"options": '{"maxRetries":-1}'}, "maxRetries"),
        ({"options": '{"retryDelay":1e300}'}, "retryDelay"),
        ({"options": '{"retryDelay":1e400}'}, "options"),
    ],
)
async def test_what_cannot_be_used_fails_and_says_why(
    driver: Driver, producer: Producer, changes: dict[str, str | None], word: str
) -> None:
    producer.dispatch(entry(jobId="j", dispatchId="d-1", **changes))
    await driver.put("d-2")

    async def has_failed() -> bool:
        await driver.start(1)
        return (await driver.counts()).get("FAILED") == 1

    await eventually(has_failed)
    record = await driver.find("d-1")
    assert record.error is not None
    assert word in record.error
    assert await driver.status("d-2") is JobStatus.RUNNING
    assert await driver.start() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"jobId": None},
        {"dispatchId": None},
        {"dispatchId": ""},
        {"dispatchId": "a:b"},
        {"jobId": "a b"},
        {"jobId": "x" * 257},
        {"type": "job:unheard"},
        {"type": ""},
    ],
)
async def test_what_names_no_job_is_acknowledged_and_logged(
    driver: Driver,
    behind: Behind,
    producer: Producer,
    changes: dict[str, str | None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    producer.write(entry(**changes))
    await driver.put("d-1")
    with caplog.at_level(logging.WARNING, "heracles.redis"):
        await start_all(driver, 1)
        await eventually(lambda: "skipped" in caplog.text)
    assert await driver.counts() == {"RUNNING": 1}
    pending = behind.command("XPENDING", behind.key("stream:emails"), "workers")
    assert pending[0] == 1, "only the running job is not acknowledged"


async def test_bytes_that_are_no_text_are_skipped(driver: Driver, behind: Behind) -> None:
    behind.command(
        "XADD", behind.key("stream:emails"), "*", b"\xff", b"\x00", "jobId", b"\xff\xfe", "dispatchId", b"\xff"
    )
    behind.command("XADD", behind.key("stream:emails"), "*", "anything", "else")
    await driver.put("d-1")
    await start_all(driver, 1)
    assert await driver.counts() == {"RUNNING": 1}


async def test_a_dispatch_that_is_known_is_not_started_twice(driver: Driver, producer: Producer) -> None:
    await driver.put("d-1", job_id="j")
    producer.write(entry(jobId="j", dispatchId="d-1"))
    producer.write(entry(jobId="other", dispatchId="d-1"))
    assert ids(await driver.start(5)) == ["d-1"]
    await asyncio.sleep(0.6)
    assert await driver.start(5) == []
    assert await driver.counts() == {"RUNNING": 1}


async def test_cancel_all_ends_everything(driver: Driver, producer: Producer) -> None:
    await driver.put_running("d-1")
    await driver.put("d-2")
    await driver.put("d-3", delay_ms=LATER_MS)
    producer.write(ORIGINAL["entries"][3])
    await driver.start(1)
    await driver.start(5)

    async def is_done() -> bool:
        return await driver.counts() == {"CANCELLED": 3}

    await eventually(is_done)


@pytest.mark.parametrize("was_read", [False, True])
async def test_a_cancel_on_the_channel_does_what_it_says(
    driver: Driver, behind: Behind, producer: Producer, was_read: bool
) -> None:
    listener = driver.listen()
    await listener.wait(100)
    producer.dispatch(entry(jobId="j", dispatchId="d-1"))
    if was_read:
        await start_all(driver, 1)
    said = json.dumps({"type": "cancel", "jobId": "j", "dispatchId": "d-1"})
    await eventually(lambda: behind.command("PUBLISH", behind.key("queue:emails:control"), said))
    assert await is_woken(listener, SignalKind.CANCEL)

    async def is_cancelled() -> bool:
        await driver.start(1)
        return await driver.counts() == {"CANCELLED": 1}

    await eventually(is_cancelled)
    await listener.close()


async def test_garbage_on_the_channel_is_survived(driver: Driver, behind: Behind) -> None:
    listener = driver.listen()
    await listener.wait(100)
    for said in (b"\xff", b"[", b"7", b"{}", b'{"type":"cancel"}', b'{"type":"cancel","jobId":"a b","dispatchId":"*"}'):
        await eventually(partial(behind.command, "PUBLISH", behind.key("queue:emails:control"), said))
    await driver.put_running("d-1")
    await driver.cancel("d-1")
    assert await is_woken(listener, SignalKind.CANCEL)
    await listener.close()


async def test_an_entry_whose_reader_died_is_adopted_by_another(
    make_driver: MakeDriver, behind: Behind, producer: Producer
) -> None:
    dying, other = make_driver(), make_driver()
    fields = entry(jobId="j", dispatchId="d-1")
    producer.write(fields)
    await dying.start()
    await dying.transport.close()
    # Its reader's time has passed.
    place = behind.command("ZRANGE", behind.key("foreign:emails"), 0, 0)
    if place:
        behind.command("ZADD", behind.key("foreign:emails"), 1, place[0])
    (delivery,) = await start_all(other, 1)
    assert delivery.envelope.job_id == "j"


async def test_the_full_form_is_understood_from_anybody(driver: Driver, producer: Producer) -> None:
    producer.write(
        entry(
            jobId="j",
            dispatchId="d-1",
            kwargs='{"b":2}',
            options=options(overlapBehavior=JobOverlapBehavior.NO_OVERLAP.value, overlapDelay=5, timeout=9),
        )
    )
    (delivery,) = await start_all(driver, 1)
    made = delivery.envelope
    assert (made.kwargs, made.no_overlap, made.overlap_delay_ms, made.timeout_ms) == (b'{"b":2}', True, 5, 9)


@pytest.mark.parametrize(("job", "dispatch"), [("job_5", "dispatch_5"), ("j5", "d5")])
async def test_short_forms_of_others_are_counted_and_told(
    driver: Driver, producer: Producer, job: str, dispatch: str
) -> None:
    cursor = await driver.cursor()
    for number in range(3):
        left_out: dict[str, str | None] = dict.fromkeys(("type", "timestamp", "queue", "options"))
        producer.dispatch(entry(**left_out, jobId=f"{job}{number}", dispatchId=f"{dispatch}{number}"))
    for delivery in await start_all(driver, 3):
        await driver.finish(delivery)
    assert await driver.counts() == {"COMPLETED": 3}
    told = [change.status for change in await driver.changes(cursor)]
    assert [told.count(status) for status in (JobStatus.PENDING, JobStatus.RUNNING, JobStatus.COMPLETED)] == [3, 3, 3]


async def test_clear_ends_entries_that_nobody_has_read(driver: Driver, producer: Producer) -> None:
    producer.dispatch(entry(jobId="j", dispatchId="d-1"))
    await driver.put("d-2")
    assert await driver.transport.clear("emails") == 2
    assert await driver.counts() == {"CANCELLED": 2}
    assert await driver.start() == []


async def test_exclusive_entries_start_in_the_order_in_which_they_were_written(
    driver: Driver, producer: Producer
) -> None:
    exclusive = options(overlapBehavior=JobOverlapBehavior.NO_OVERLAP.value)
    ids = [f"d-{number}" for number in range(6)]
    # The first one's hash is late: those behind it must not be adopted before it.
    messages = [producer.write(entry(jobId="j", dispatchId=dispatch_id, options=exclusive)) for dispatch_id in ids]
    for dispatch_id, message in reversed(list(zip(ids, messages, strict=True))):
        assert await driver.start(2) == []
        producer.write_hash(entry(jobId="j", dispatchId=dispatch_id), message)
    for dispatch_id in ids:
        (delivery,) = await start_all(driver, 1)
        assert delivery.envelope.dispatch_id == dispatch_id
        await driver.finish(delivery)
