"""Another program wishes that all jobs be cancelled, and every slot is busy."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from heracles.model import JobStatus
from heracles.redis import RedisTransport
from heracles.transport import Listener
from tests.conformance.driver import LATER_MS, Driver, ids
from tests.redis.conftest import Behind, MakeDriver
from tests.stores import RedisStore
from tests.waiting import eventually
from tests.worker.jobs import BOARD
from tests.worker.site import QUEUE, Site

POLL_MS = 50
WISH = ("type", "job:cancelAll", "timestamp", "1795508784095")


@pytest.fixture
def driver(make_driver: MakeDriver) -> Driver:
    return make_driver(poll_interval=POLL_MS)


@pytest.fixture
async def listener(driver: Driver) -> AsyncIterator[Listener]:
    """Of a worker that has no slot free."""
    listener = driver.listen()
    await listener.wait(1)
    listener.want(())
    yield listener
    await listener.close()


async def wish(behind: Behind, stream: str = "stream:emails") -> None:
    """Written as the original does. What comes after it comes later by the server's clock."""
    message: bytes = behind.command("XADD", behind.key(stream), "*", *WISH)

    def is_past() -> bool:
        seconds, micros = behind.client.time()
        return seconds * 1000 + micros // 1000 > int(message.partition(b"-")[0])

    await eventually(is_past)


async def until(driver: Driver, counts: dict[str, int]) -> None:
    async def is_so() -> bool:
        return await driver.counts() == counts

    await eventually(is_so, what=f"{counts}")


@pytest.mark.usefixtures("listener")
async def test_a_busy_worker_heeds_it_and_cancels_nothing_that_came_later(driver: Driver, behind: Behind) -> None:
    await driver.put_running("runs")
    await driver.put("waits")
    await driver.put("urgent", priority=5)
    await driver.put("later", delay_ms=LATER_MS)
    await wish(behind)
    after = [f"after-{number}" for number in range(100)]
    for dispatch_id in after:
        await driver.put(dispatch_id)
    await until(driver, {"CANCELLED": 4, "PENDING": 100})
    # Read in its turn, it cancels no more, and is done with.
    started = [*await driver.start(50), *await driver.start(100)]
    assert ids(started) == after
    await until(driver, {"CANCELLED": 4, "RUNNING": 100})
    # Those that run, and the one that was told to end.
    await eventually(lambda: behind.command("XPENDING", behind.key("stream:emails"), "workers")[0] == 101)


@pytest.mark.usefixtures("listener")
async def test_jobs_whose_producer_wrote_no_hash_are_among_those_before_it(driver: Driver, behind: Behind) -> None:
    await driver.put_running("runs")
    fields = ("type", "job:process", "job", "elysium.heracles.job.SendEmail", "args", "[]")
    for number in range(3):
        behind.command("XADD", behind.key("stream:emails"), "*", *fields, "jobId", "j", "dispatchId", f"d-{number}")
    await wish(behind)
    behind.command("XADD", behind.key("stream:emails"), "*", *fields, "jobId", "j", "dispatchId", "d-last")
    await until(driver, {"CANCELLED": 4, "PENDING": 1})


async def test_who_is_free_looks_at_no_entries_by_itself(driver: Driver, behind: Behind) -> None:
    """It reads them as they come, and another call an interval would be in vain."""
    listener = driver.listen()
    await driver.put_running("runs")
    await wish(behind)
    for _ in range(3):
        await listener.wait(2 * POLL_MS)
    assert await driver.counts() == {"RUNNING": 1}
    listener.want(())
    await until(driver, {"CANCELLED": 1})
    await listener.close()


async def test_a_worker_whose_slots_are_taken_ends_its_jobs(redis_store: RedisStore, behind: Behind) -> None:
    BOARD.clear()

    def make_transport(**options: Any) -> RedisTransport:
        return RedisTransport(connection=redis_store.connection, key_prefix=redis_store.prefix, **options)

    site = Site(make_transport(poll_interval=POLL_MS), make_transport)
    await site.worker(concurrency=1)
    held = await site.dispatch("Gate")
    await site.noted("begin door")
    waiting = await site.dispatch("Note", 1)
    await wish(behind, f"stream:{QUEUE}")
    await site.noted("cancelled door")
    for dispatch_id in (held, waiting):
        assert (await site.until(dispatch_id)).status is JobStatus.CANCELLED
    assert (await site.run("Note", 2)).status is JobStatus.COMPLETED
    assert BOARD.notes == ["begin door", "cancelled door", 2]
    await site.close()
    await site.transport.close()
