"""Counts are exact after any history, and agree with what can be read."""

import asyncio
import random
import re

import pytest

from heracles.model import FINAL, JobStatus, ReportKind, Session
from tests.conformance.driver import Driver, envelope, report_on, session
from tests.stores import EVERY_REDIS, RedisStore, Store

KINDS = (*[ReportKind.COMPLETED] * 4, ReportKind.FAILED, ReportKind.RETRY, ReportKind.RETURNED, ReportKind.UNSTARTED)


class History:
    """Random work on one queue, by several tasks at once."""

    def __init__(self, driver: Driver, seed: int) -> None:
        self.driver = driver
        self.random = random.Random(seed)
        self.known: list[str] = []
        self.workers = [session(f"worker-{number}") for number in range(3)]

    def _envelope(self) -> dict[str, object]:
        choose = self.random
        return {
            "priority": choose.choice([0, 10, 10, 50]),
            "no_overlap": choose.random() < 0.3,
            "job_id": f"j-{choose.randrange(12)}",
            "delay_ms": choose.choice([None, None, None, 1, 20, 3_600_000]),
        }

    async def produce(self) -> None:
        for _ in range(12):
            batch = [envelope(**self._envelope()) for _ in range(self.random.randrange(1, 12))]
            await self.driver.put_all(batch)
            self.known += [each.dispatch_id for each in batch]

    async def work(self, worker: Session) -> None:
        for _ in range(40):
            for delivery in await self.driver.start(self.random.randrange(1, 4), by=worker):
                kind = self.random.choice(KINDS)
                report = report_on(
                    delivery,
                    kind,
                    delay_ms=self.random.choice([0, 5, 3_600_000]),
                    overlap_delay_ms=self.random.choice([0, 0, 5]),
                    error="Boom: x",
                )
                # Some are sent twice, some never: what runs at the end counts as running.
                for _ in range(self.random.choice([0, 1, 1, 1, 2])):
                    await self.driver.exchange([report], by=worker)

    async def cancel(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0.002)
            if self.known:
                await self.driver.cancel(self.random.choice(self.known), f"j-{self.random.randrange(40)}")

    async def run(self) -> None:
        """All of it."""
        await asyncio.gather(
            self.produce(), self.produce(), self.cancel(), *(self.work(worker) for worker in self.workers)
        )


@pytest.mark.parametrize("seed", range(4))
async def test_after_a_random_history_counts_are_exact(driver: Driver, seed: int) -> None:
    history = History(driver, seed)
    cursor = await driver.cursor()
    await history.run()
    statuses = [await driver.status(name) for name in history.known]
    expected = {status: statuses.count(status) for status in JobStatus}
    overview = await driver.transport.overview(driver.queue)
    assert dict(overview.counts) == expected
    page = await driver.transport.page(driver.queue, None, 10_000)
    assert sorted(record.dispatch_id for record in page) == sorted(history.known)
    last = {change.dispatch_id: change.status for change in await driver.changes(cursor)}
    assert last == dict(zip(history.known, statuses, strict=True))


async def test_after_a_random_history_all_can_be_cleared(driver: Driver) -> None:
    history = History(driver, 99)
    await history.run()
    before = await driver.transport.overview(driver.queue)
    unfinished = sum(count for status, count in before.counts.items() if status not in FINAL)
    assert await driver.transport.clear(driver.queue, running=True) == unfinished
    after = await driver.transport.overview(driver.queue)
    assert sum(after.counts.values()) == len(history.known)
    assert {status for status, count in after.counts.items() if count} <= FINAL


@pytest.mark.stores(*EVERY_REDIS)
async def test_what_has_ended_leaves_no_key_of_its_own_without_a_time_to_live(store: Store, driver: Driver) -> None:
    assert isinstance(store, RedisStore)
    history = History(driver, 7)
    await history.run()
    await driver.transport.clear(driver.queue, running=True)
    for worker in history.workers:
        for delivery in await driver.transport.recover(driver.queue, worker, []):
            await driver.report(delivery, ReportKind.RELEASED, by=worker)
    named = [key for key in store.immortal() if re.search(r":(j-\d+|dispatch_\w+)(:|$)", key)]
    assert named == []
