"""Lists are read in several trips to Redis, while jobs go on."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from heracles.model import ReportKind
from heracles.redis.reading import Reading
from heracles.redis.store import Store
from tests.conformance.driver import LATER_MS, Driver

#: More than a page of few jobs takes.
TRIPS = 16


class Interrupted:
    """A store between two trips to which something happens."""

    def __init__(self, store: Store, trip: int, happen: Callable[[], Awaitable[Any]]) -> None:
        self._store = store
        self._left = trip
        self._happen = happen
        self.keys = store.keys

    async def command(self, key: str, *command: Any) -> Any:
        """As the store's."""
        await self._count()
        return await self._store.command(key, *command)

    async def run(self, name: str, queue: str, *arguments: Any) -> Any:
        """As the store's."""
        await self._count()
        return await self._store.run(name, queue, *arguments)

    async def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            await self._happen()


async def _page(driver: Driver, trip: int, happen: Callable[[], Awaitable[Any]]) -> list[str]:
    store = Interrupted(driver.transport._store, trip, happen)  # type: ignore[attr-defined]  # between its trips
    reading = Reading(store)  # type: ignore[arg-type]  # all of it that reading a page needs
    return [record.dispatch_id for record in await reading.page(driver.queue, None, 1000)]


async def _check(driver: Driver, trip: int, kind: ReportKind, **fields: Any) -> None:
    delivery = await driver.put_running(f"d-{trip}")
    found = await _page(driver, trip, lambda: driver.report(delivery, kind, **fields))
    assert found.count(f"d-{trip}") == 1, f"not found when it goes on before trip {trip}"


@pytest.mark.parametrize("kind", [ReportKind.COMPLETED, ReportKind.FAILED])
async def test_a_job_that_ends_during_the_look_is_listed(driver: Driver, kind: ReportKind) -> None:
    for trip in range(1, TRIPS):
        await _check(driver, trip, kind)


async def test_a_job_that_fails_during_the_look_and_is_to_be_retried_is_listed(driver: Driver) -> None:
    for trip in range(1, TRIPS):
        await _check(driver, trip, ReportKind.RETRY, delay_ms=LATER_MS)


async def test_a_job_that_starts_during_the_look_is_listed(driver: Driver) -> None:
    for trip in range(1, TRIPS):
        await driver.put(f"d-{trip}")
        assert (await _page(driver, trip, driver.start)).count(f"d-{trip}") == 1
