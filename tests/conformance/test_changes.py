"""``Transport.changes``: every status change, in order, and what is told of those that are gone."""

import asyncio
import itertools
import time

import pytest

from heracles.model import TRANSITIONS, JobStatus, ReportKind
from heracles.transport import Transport
from heracles.units import now_ms
from tests.conformance.driver import LATER_MS, Driver, envelope, report_on, session
from tests.conftest import MakeTransport
from tests.stores import EVERY_REDIS, Store

KEPT = 10_000
P, R = JobStatus.PENDING, JobStatus.RUNNING
COMPLETED, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED
RETRY = JobStatus.SCHEDULED_FOR_RETRY


async def _walk(driver: Driver, cursor: str) -> list[JobStatus | None]:
    return [change.status for change in await driver.changes(cursor)]


async def test_without_a_cursor_it_returns_that_of_now_at_once(driver: Driver) -> None:
    before = time.monotonic()
    read = await driver.transport.changes(driver.queue, None, 20_000)
    assert read.changes == ()
    await driver.put()
    read = await driver.transport.changes(driver.queue, None, 20_000)
    assert read.changes == ()
    assert time.monotonic() - before < 5
    assert await driver.changes(read.cursor) == []


async def test_every_change_is_told_in_order(driver: Driver) -> None:
    cursor = await driver.cursor()
    delivery = await driver.put_running("d-1", job_id="j-1")
    await driver.report(delivery, ReportKind.RETRY, delay_ms=0, error="Boom: x")
    await driver.report(await driver.start_one(), ReportKind.RETURNED)
    await driver.finish(await driver.start_one(), result=b"1")
    changes = await driver.changes(cursor)
    assert [change.status for change in changes] == [P, R, RETRY, R, P, R, COMPLETED]
    assert {(change.job_id, change.dispatch_id) for change in changes} == {("j-1", "d-1")}
    times = [change.at_ms for change in changes]
    assert times == sorted(times)
    assert abs(times[0] - now_ms()) < 10_000


async def test_a_failure_tells_its_error(driver: Driver) -> None:
    cursor = await driver.cursor()
    await driver.report(await driver.put_running(), ReportKind.FAILED, error="ValueError: grüße", traceback="t")
    assert (await driver.changes(cursor))[-1].error == "ValueError: grüße"


@pytest.mark.parametrize("fields", [{}, {"delay_ms": LATER_MS}, {"no_overlap": True}, {"priority": 0}])
async def test_a_dispatch_tells_pending(driver: Driver, fields: dict[str, int]) -> None:
    cursor = await driver.cursor()
    await driver.put("d-1", **fields)
    (change,) = await driver.changes(cursor)
    assert (change.dispatch_id, change.status) == ("d-1", P)


async def test_becoming_due_is_no_change(driver: Driver) -> None:
    cursor = await driver.cursor()
    await driver.put("d-1", delay_ms=30)
    await driver.start_one()
    assert await _walk(driver, cursor) == [P, R]


async def test_cancelling_is_told_once(driver: Driver) -> None:
    delivery = await driver.put_running()
    await driver.put("d-2")
    cursor = await driver.cursor()
    await driver.cancel(delivery.envelope.dispatch_id, "d-2")
    await driver.report(delivery, ReportKind.COMPLETED)
    await driver.report(delivery, ReportKind.RELEASED)
    assert await _walk(driver, cursor) == [CANCELLED, CANCELLED]


async def test_clear_tells_each(driver: Driver) -> None:
    await driver.put_all([envelope() for _ in range(300)])
    cursor = await driver.cursor()
    await driver.transport.clear(driver.queue)
    changes = await driver.changes(cursor)
    assert [change.status for change in changes] == [CANCELLED] * 300
    assert len({change.dispatch_id for change in changes}) == 300


async def test_a_wait_ends_with_the_next_change(driver: Driver) -> None:
    cursor = await driver.cursor()
    waiting = asyncio.create_task(driver.transport.changes(driver.queue, cursor, 20_000))
    await asyncio.sleep(0.02)
    before = time.monotonic()
    await driver.put("d-1")
    read = await waiting
    assert [change.dispatch_id for change in read.changes] == ["d-1"]
    assert time.monotonic() - before < 5


async def test_a_wait_ends_in_time_with_the_same_place(driver: Driver) -> None:
    cursor = await driver.cursor()
    before = time.monotonic()
    read = await driver.transport.changes(driver.queue, cursor, 100)
    assert read.changes == ()
    assert 0.05 < time.monotonic() - before < 5
    await driver.put("d-1")
    assert await _walk(driver, read.cursor) == await _walk(driver, cursor) == [P]


async def test_a_cursor_can_be_read_from_again(driver: Driver) -> None:
    start = await driver.cursor()
    await driver.put_all([envelope(dispatch_id=f"d-{number}") for number in range(5)])
    middle = (await driver.transport.changes(driver.queue, start, 0)).cursor
    await driver.start(3)
    everything = await driver.changes(start)
    assert await driver.changes(start) == everything
    assert everything[-3:] == await driver.changes(middle)


async def test_a_cursor_goes_on_on_another_transport(
    shared_store: Store, transport: Transport, make_transport: MakeTransport
) -> None:
    driver = Driver(transport)
    await driver.put("d-1")
    cursor = await driver.cursor()
    await driver.put("d-2")
    await transport.close()
    (change,) = await Driver(make_transport()).changes(cursor)
    assert change.dispatch_id == "d-2"


async def test_changes_are_each_queues_own(driver: Driver) -> None:
    other = Driver(driver.transport, "others")
    cursors = [await each.cursor() for each in (driver, other)]
    await driver.put("d-1")
    await other.put("d-2")
    for each, cursor, name in zip((driver, other), cursors, ("d-1", "d-2"), strict=True):
        assert [change.dispatch_id for change in await each.changes(cursor)] == [name]


async def test_each_dispatch_walks_legal_steps_from_start_to_end(driver: Driver) -> None:
    cursor = await driver.cursor()
    names = [f"d-{number}" for number in range(40)]

    async def work(number: int) -> None:
        worker = session(f"worker-{number}")
        while deliveries := await driver.start(2, by=worker):
            kinds = [list(ReportKind)[(number + each.token) % 4] for each in deliveries]
            reports = [report_on(each, kind, delay_ms=0) for each, kind in zip(deliveries, kinds, strict=True)]
            await driver.exchange(reports, by=worker)

    await driver.put_all([envelope(dispatch_id=name) for name in names])
    await asyncio.gather(*(work(number) for number in range(4)), driver.cancel(*names[::5]))
    walks: dict[str, list[JobStatus | None]] = {name: [None] for name in names}
    for change in await driver.changes(cursor):
        walks[change.dispatch_id].append(change.status)
    for name, walk in walks.items():
        for before, after in itertools.pairwise(walk):
            assert after in TRANSITIONS[before], f"{name}: {walk}"
        assert walk[-1] is await driver.status(name)


# ---- gaps


async def _two_changes_each(driver: Driver, count: int) -> None:
    for _ in range(0, count, 1000):
        await driver.put_all([envelope() for _ in range(min(count, 1000))])
    await driver.transport.clear(driver.queue)


async def test_the_last_10000_changes_are_kept(driver: Driver) -> None:
    await driver.put("d-1")
    await driver.cancel("d-1")
    cursor = await driver.cursor()
    await _two_changes_each(driver, KEPT // 2)
    changes = await driver.changes(cursor)
    assert len(changes) == KEPT
    assert None not in {change.status for change in changes}


async def test_older_changes_are_told_as_one_gap(driver: Driver) -> None:
    await driver.put("d-1")
    cursor = await driver.cursor()
    await _two_changes_each(driver, KEPT // 2 + 1000)
    gap, *rest = await driver.changes(cursor)
    assert (gap.status, gap.job_id, gap.dispatch_id) == (None, "", "")
    assert None not in {change.status for change in rest}
    assert rest[-1].status is CANCELLED
    read = await driver.transport.changes(driver.queue, cursor, 0)
    await driver.put("d-2")
    following = await driver.changes(read.cursor)
    assert None not in {change.status for change in following}
    assert following[-1].dispatch_id == "d-2"


@pytest.mark.stores(*EVERY_REDIS)  # nothing empties a database file but deleting it, which has tests of its own
async def test_an_emptied_store_is_a_gap(store: Store, driver: Driver) -> None:
    await driver.put_all([envelope() for _ in range(20)])
    cursor = await driver.cursor()
    store.empty()
    read = await driver.transport.changes(driver.queue, cursor, 1000)
    assert [change.status for change in read.changes] == [None]
    await driver.put("d-1")
    assert [change.dispatch_id for change in await driver.changes(read.cursor)] == ["d-1"]


@pytest.mark.stores(*EVERY_REDIS)  # nothing empties a database file but deleting it, which has tests of its own
async def test_an_emptied_store_that_was_filled_again_is_a_gap(store: Store, driver: Driver) -> None:
    await driver.put_all([envelope() for _ in range(20)])
    cursor = await driver.cursor()
    store.empty()
    await driver.put("d-1")
    changes = await driver.changes(cursor)
    assert changes[0].status is None
