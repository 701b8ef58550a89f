"""``Transport.exchange`` that waits in the store for jobs, where it can."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from heracles.model import Exchange, ReportKind, Session, Storing
from tests.conformance.conftest import MakeDriver
from tests.conformance.driver import Driver, envelope, ids, session
from tests.stores import EVERY_REDIS

pytestmark = pytest.mark.stores(*EVERY_REDIS)

#: Longer than any test: what ends a wait is not its end.
LONG_MS = 60_000
WITHIN_S = 20.0

Answer = asyncio.Task[Exchange]


class Waiting:
    """Exchanges that wait, each in a task, and of a worker of its own unless one is named."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.tasks: list[Answer] = []

    async def begin(self, slots: int = 1, wait_ms: int = LONG_MS, by: Session | None = None) -> Answer:
        """One more, which surely waits: what comes at once has come."""
        worker = by or session(f"worker-{len(self.tasks)}")
        # So that the script is loaded, and no token is left of earlier dispatches.
        await self.driver.exchange((), 0, worker, wait_ms=1)
        self.tasks.append(asyncio.create_task(self.driver.exchange((), slots, worker, wait_ms=wait_ms)))
        await asyncio.wait(self.tasks[-1:], timeout=0.1)
        return self.tasks[-1]


@pytest.fixture
async def waiting(driver: Driver) -> AsyncIterator[Waiting]:
    assert driver.transport.waits_for_jobs
    made = Waiting(driver)
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


async def _answer(task: Answer) -> Exchange:
    return await asyncio.wait_for(task, WITHIN_S)


async def test_a_dispatch_is_answered_at_once(driver: Driver, waiting: Waiting) -> None:
    task = await waiting.begin()
    assert not task.done()
    made = await driver.put()
    answer = await _answer(task)
    assert ids(answer.started) == [made.dispatch_id]
    assert answer.started[0].token == 1


async def test_more_slots_than_one_step_takes(driver: Driver, waiting: Waiting) -> None:
    task = await waiting.begin(slots=600)
    made = [envelope() for _ in range(500)]
    await driver.transport.enqueue(driver.queue, made)
    started = list((await _answer(task)).started)
    # It is woken by the first part of the dispatches.
    started += await driver.start(600, by=session())
    assert len({delivery.envelope.dispatch_id for delivery in started}) == 500


async def test_without_jobs_it_ends_in_time(waiting: Waiting) -> None:
    before = time.monotonic()
    answer = await _answer(await waiting.begin(wait_ms=300))
    assert (answer.started, answer.next_due_ms) == ((), None)
    assert time.monotonic() - before > 0.25


async def test_one_dispatch_wakes_few_of_many(driver: Driver, waiting: Waiting) -> None:
    tasks = [await waiting.begin() for _ in range(5)]
    await driver.put()
    await asyncio.wait(tasks, timeout=WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    woken, _ = await asyncio.wait(tasks, timeout=0.2)
    # Who is full lets another one look for more.
    assert len(woken) <= 2
    assert sum(len(task.result().started) for task in woken) == 1


async def test_each_of_many_gets_one(driver: Driver, waiting: Waiting) -> None:
    tasks = [await waiting.begin() for _ in range(5)]
    stored = await driver.transport.enqueue(driver.queue, [envelope() for _ in range(5)])
    assert {each.storing for each in stored} == {Storing.STORED}
    started = [delivery for task in tasks for delivery in (await _answer(task)).started]
    assert len(set(ids(started))) == 5


async def test_it_can_be_ended(driver: Driver, waiting: Waiting) -> None:
    worker = session()
    task = await waiting.begin(by=worker)
    other = await waiting.begin()
    await driver.transport.end_wait(driver.queue, worker)
    assert (await _answer(task)).started == ()
    assert not other.done()


async def test_an_end_that_comes_too_soon_holds_for_the_next_one(driver: Driver, waiting: Waiting) -> None:
    worker = session()
    await driver.transport.end_wait(driver.queue, worker)
    task = asyncio.create_task(driver.exchange((), 1, worker, wait_ms=LONG_MS))
    assert (await _answer(task)).started == ()


async def test_a_queue_that_is_resumed_is_answered(driver: Driver, waiting: Waiting) -> None:
    await driver.transport.gate(driver.queue, paused=True)
    made = await driver.put()
    task = await waiting.begin()
    assert not task.done()
    await driver.transport.gate(driver.queue, paused=False)
    assert ids((await _answer(task)).started) == [made.dispatch_id]


async def test_what_another_worker_gives_back_is_answered(driver: Driver, waiting: Waiting) -> None:
    delivery = await driver.put_running()
    task = await waiting.begin()
    assert not task.done()
    await driver.report(delivery, ReportKind.UNSTARTED)
    assert ids((await _answer(task)).started) == [delivery.envelope.dispatch_id]


async def test_what_is_overdue_is_found_when_it_ends(make_driver: MakeDriver, waiting: Waiting) -> None:
    brief = make_driver(lease=300)
    lost = await brief.put_running()
    brief_waiting = Waiting(brief)
    task = await brief_waiting.begin(wait_ms=1000)
    assert ids((await _answer(task)).started) == [lost.envelope.dispatch_id]


async def test_a_caller_that_is_cancelled_takes_nothing_from_others(driver: Driver, waiting: Waiting) -> None:
    task = await waiting.begin()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    made = await driver.put()
    assert ids([await driver.start_one()]) == [made.dispatch_id]
