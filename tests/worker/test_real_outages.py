"""A worker on a Redis server that is killed, frozen, emptied, or throws its clients out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from heracles.model import JobStatus
from heracles.redis import Redis, RedisTransport
from tests.servers import MissingServerError, Server, redis_7
from tests.waiting import eventually
from tests.worker.jobs import BOARD
from tests.worker.site import QUEUE, Site

#: Seconds within which service has to resume.
SOON_S = 5.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of this module's own, which acknowledges only what is on disk."""
    try:
        program = redis_7()
    except MissingServerError as missing:
        pytest.skip(str(missing))
    started = Server(program, {"appendonly": "yes", "appendfsync": "always"}).start()
    Redis.register_connection("outages", url=started.url)
    yield started
    started.stop()


@pytest.fixture
async def redis_site(server: Server) -> AsyncIterator[Site]:
    BOARD.clear()

    def make_transport(**options: Any) -> RedisTransport:
        return RedisTransport(connection="outages", key_prefix="outages", **{"lease": 1000, **options})

    made = Site(make_transport(), make_transport)
    yield made
    await made.close()
    await made.transport.close()
    server.command("FLUSHALL")


async def _serves(site: Site) -> None:
    """New jobs are started by wake-up, not only by polling."""
    async with asyncio.timeout(SOON_S):
        await _dispatched_and_done(site)
    records = [await site.run("Note", "after") for _ in range(5)]
    # By polling alone it would be half a second on average. Of a busy machine the fastest says most.
    assert min((record.started_at_ms or 0) - record.created_at_ms for record in records) < 200


async def _dispatched_and_done(site: Site) -> None:
    dispatch_id = await site.dispatch("Note", "after")
    while (await site.transport.find(QUEUE, dispatch_id)) is None:
        dispatch_id = await site.dispatch("Note", "after")
    await site.until(dispatch_id)


async def test_a_server_that_is_killed_and_started_again(redis_site: Site, server: Server) -> None:
    await redis_site.worker()
    ids = [await redis_site.dispatch("Gate", f"door {i}") for i in range(6)]
    await eventually(lambda: len(BOARD.notes) == 4)
    server.kill()
    BOARD.open_all()
    await asyncio.sleep(0.3)
    server.restart()
    for dispatch_id in ids:
        record = await redis_site.until(dispatch_id)
        assert (record.status, record.retries) == (JobStatus.COMPLETED, 0)
    assert sorted(BOARD.notes) == sorted(f"{what} door {i}" for what in ("begin", "end") for i in range(6))
    await _serves(redis_site)


async def test_a_server_that_is_frozen_for_less_than_the_lease(redis_site: Site, server: Server) -> None:
    await redis_site.worker()
    dispatch_id = await redis_site.dispatch("Gate")
    await redis_site.noted("begin door")
    server.freeze()
    BOARD.open_all()
    await asyncio.sleep(0.5)
    server.thaw()
    assert (await redis_site.until(dispatch_id)).token == 1
    await _serves(redis_site)


async def test_a_server_that_is_frozen_for_longer_than_the_lease(redis_site: Site, server: Server) -> None:
    await redis_site.worker()
    dispatch_id = await redis_site.dispatch("Gate")
    await redis_site.noted("begin door")
    server.freeze()
    await redis_site.noted("cancelled door")
    await asyncio.sleep(0.5)
    BOARD.open_all()
    server.thaw()
    record = await redis_site.until(dispatch_id)
    assert (record.status, record.retries) == (JobStatus.COMPLETED, 0)
    await _serves(redis_site)


@pytest.mark.parametrize(
    "commands",
    [
        [("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), ("CLIENT", "KILL", "TYPE", "pubsub")],
        [("SCRIPT", "FLUSH")],
        [("FLUSHALL",)],
        [("DEL", "outages:stream:jobs")],
        [("XGROUP", "DESTROY", "outages:stream:jobs", "workers")],
    ],
    ids=["clients killed", "scripts flushed", "all flushed", "stream deleted", "group destroyed"],
)
async def test_what_others_do_to_the_server(redis_site: Site, server: Server, commands: list[tuple[str, ...]]) -> None:
    await redis_site.worker()
    await redis_site.run("Note", 1)
    await redis_site.dispatch("Gate")
    await redis_site.noted("begin door")
    for command in commands:
        server.command(*command)
    BOARD.open_all()
    await redis_site.noted("end door")
    await _serves(redis_site)


async def test_a_worker_ends_while_its_server_is_frozen(redis_site: Site, server: Server) -> None:
    worker = await redis_site.worker()
    await redis_site.run("Note", 1)
    server.freeze()
    try:
        await asyncio.sleep(1.5)
        async with asyncio.timeout(20):
            await worker.stop()
    finally:
        server.thaw()
