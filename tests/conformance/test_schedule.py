"""When a dispatch is ready: at once, at ``scheduled_for_ms``, or after ``delay_ms``; by the store's clock."""

import pytest

from heracles.model import Delivery, JobStatus
from heracles.units import now_ms
from tests.conformance.driver import LATER_MS, Driver, envelope, ids
from tests.waiting import eventually

SOON_MS = 150


async def test_a_scheduled_dispatch_is_pending_and_counted(driver: Driver) -> None:
    due_ms = now_ms() + LATER_MS
    await driver.put("d-1", scheduled_for_ms=due_ms)
    record = await driver.find("d-1")
    assert (record.status, record.scheduled_for_ms) == (JobStatus.PENDING, due_ms)
    overview = await driver.transport.overview(driver.queue)
    assert (overview.counts[JobStatus.PENDING], overview.scheduled) == (1, 1)
    assert await driver.start() == []


async def test_a_scheduled_dispatch_never_starts_early(driver: Driver) -> None:
    due_ms = now_ms() + SOON_MS
    await driver.put("d-1", scheduled_for_ms=due_ms)
    delivery = await driver.start_one()
    assert delivery.started_at_ms >= due_ms
    assert delivery.envelope.scheduled_for_ms == due_ms


async def test_once_due_it_no_longer_counts_as_scheduled(driver: Driver) -> None:
    await driver.put("d-1", delay_ms=SOON_MS)

    async def is_due() -> bool:
        return (await driver.transport.overview(driver.queue)).scheduled == 0

    await eventually(is_due)
    assert await driver.counts() == {"PENDING": 1}
    assert ids(await driver.start()) == ["d-1"]


async def test_a_delay_becomes_a_time_by_the_stores_clock(driver: Driver) -> None:
    await driver.put("d-1", delay_ms=SOON_MS)
    record = await driver.find("d-1")
    due_ms = record.created_at_ms + SOON_MS
    assert record.scheduled_for_ms == due_ms
    assert record.envelope is not None
    assert (record.envelope.delay_ms, record.envelope.scheduled_for_ms) == (None, due_ms)
    assert (await driver.start_one()).started_at_ms >= due_ms


@pytest.mark.parametrize("fields", [{"scheduled_for_ms": 1}, {"delay_ms": 0}, {"scheduled_for_ms": now_ms()}])
async def test_a_time_that_has_passed_is_ready_at_once(driver: Driver, fields: dict[str, int]) -> None:
    await driver.put("d-1", **fields)
    await driver.put("d-2")
    assert ids(await driver.start()) == ["d-1", "d-2"]


async def test_what_is_due_says_when(driver: Driver) -> None:
    assert (await driver.exchange(slots=1)).next_due_ms is None
    await driver.put(delay_ms=LATER_MS)
    exchanged = await driver.exchange(slots=1)
    assert exchanged.next_due_ms is not None
    assert LATER_MS - 10_000 < exchanged.next_due_ms <= LATER_MS
    await driver.put(delay_ms=LATER_MS // 2)
    exchanged = await driver.exchange(slots=1)
    assert exchanged.next_due_ms is not None
    assert exchanged.next_due_ms <= LATER_MS // 2


async def test_waiting_for_what_is_due_takes_as_long_as_said(driver: Driver) -> None:
    await driver.put("d-1", delay_ms=SOON_MS)
    exchanged = await driver.exchange(slots=1)
    assert exchanged.next_due_ms is not None
    assert 0 < exchanged.next_due_ms <= SOON_MS


async def _start_in_turn(driver: Driver, count: int) -> list[Delivery]:
    return [await driver.start_one() for _ in range(count)]


async def test_scheduled_ones_start_in_the_order_of_their_times(driver: Driver) -> None:
    # What is stored only when all are due is ready in the order of dispatch: making a store may take that long.
    await driver.transport.open()
    base = now_ms() + 4 * SOON_MS
    batch = [envelope(scheduled_for_ms=base + offset) for offset in (20, 0, 10, 10)]
    await driver.put_all(batch)
    await eventually(lambda: now_ms() > base + 30)
    started = await _start_in_turn(driver, 4)
    assert ids(started) == [batch[number].dispatch_id for number in (1, 2, 3, 0)]


async def test_equal_times_start_in_the_order_of_dispatch(driver: Driver) -> None:
    due_ms = now_ms() + SOON_MS
    batch = [envelope(scheduled_for_ms=due_ms, dispatch_id=f"d-{9 - number}") for number in range(5)]
    for each in batch:
        await driver.put_all([each])
    await eventually(lambda: now_ms() > due_ms)
    assert ids(await _start_in_turn(driver, 5)) == [each.dispatch_id for each in batch]


async def test_due_ones_queue_as_of_when_they_became_due(driver: Driver) -> None:
    await driver.put("due", delay_ms=SOON_MS)
    await driver.put("before")
    record = await driver.find("due")
    await eventually(lambda: now_ms() > (record.scheduled_for_ms or 0) + 20)
    await driver.put("after")
    assert ids(await _start_in_turn(driver, 3)) == ["before", "due", "after"]


async def test_a_due_one_has_its_priority(driver: Driver) -> None:
    await driver.put("due", delay_ms=SOON_MS, priority=1)
    await driver.put("ready", priority=5)
    record = await driver.find("due")
    await eventually(lambda: now_ms() > (record.scheduled_for_ms or 0) + 20)
    assert ids(await _start_in_turn(driver, 2)) == ["due", "ready"]


async def test_a_long_list_of_due_ones_starts_in_one_go(driver: Driver) -> None:
    due_ms = now_ms() + 300
    batch = [envelope(scheduled_for_ms=due_ms + number % 10, priority=number % 3) for number in range(400)]
    await driver.put_all(batch)
    await eventually(lambda: now_ms() > due_ms + 20)
    started: list[Delivery] = []

    async def all_started() -> bool:
        started.extend(await driver.start(1000))
        return len(started) == len(batch)

    await eventually(all_started)
    assert len(set(ids(started))) == 400
    assert await driver.counts() == {"RUNNING": 400}
