"""Sentinels: the master they name is used, and the next one after a failover."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from heracles.errors import TransportError, TransportUnavailableError
from heracles.model import SignalKind, Storing
from heracles.redis import Redis, RedisTransport
from heracles.redis.servers import Servers
from heracles.redis.wire import Wire
from tests.conformance.driver import Driver, envelope, is_woken
from tests.redis.conftest import QUEUE
from tests.servers import MissingServerError, Sentinels, redis_7
from tests.waiting import eventually


@pytest.fixture
def sentinels() -> Iterator[Sentinels]:
    try:
        made = Sentinels(redis_7()).start()
    except MissingServerError as missing:
        pytest.skip(str(missing))
    yield made
    made.stop()


@pytest.fixture
async def driver(sentinels: Sentinels) -> AsyncIterator[Driver]:
    Redis.register_connection(
        "watched",
        sentinel={"sentinels": sentinels.addresses, "name": sentinels.NAME},
        socket_timeout=1,
        socket_connect_timeout=1,
    )
    transport = RedisTransport(connection="watched", durability="replicated")
    yield Driver(transport)
    await transport.close()


async def put(driver: Driver) -> bool:
    made = envelope()
    try:
        stored = await driver.transport.enqueue(QUEUE, [made])
    except TransportError:
        return False
    return stored[0].storing is not Storing.DRAINING


async def test_the_master_is_used(driver: Driver, sentinels: Sentinels) -> None:
    await driver.put("d-1")
    assert sentinels.master.command("EXISTS", "elysium:heracles:stream:emails") == 1
    assert driver.transport.identity.endswith("/mymaster (keys elysium:heracles:*)")


async def test_a_dead_sentinel_is_passed_over(driver: Driver, sentinels: Sentinels) -> None:
    sentinels.sentinels[0].kill()
    await driver.put("d-1")


async def test_without_sentinels_it_is_unavailable(driver: Driver, sentinels: Sentinels) -> None:
    for sentinel in sentinels.sentinels:
        sentinel.kill()
    with pytest.raises(TransportUnavailableError, match="Sentinel"):
        await driver.put("d-1")


async def test_an_old_master_that_wakes_up_while_it_is_dialled_is_left(sentinels: Sentinels) -> None:
    Redis.register_connection(
        "patient",
        sentinel={"sentinels": sentinels.addresses, "name": sentinels.NAME},
        socket_timeout=30,
        socket_connect_timeout=30,
    )
    endpoint = Redis.connection("patient")
    servers = (await endpoint.opened(sentinels)).servers
    old = sentinels.master
    old.freeze()
    early = asyncio.create_task(servers.call("key", ("PING",)))
    await eventually(lambda: sentinels.master is not old, deadline_s=20)
    further = await eventually(lambda: _dialled(servers), deadline_s=20)
    assert not early.done()
    old.thaw()
    await asyncio.wait([early])
    assert isinstance(early.exception(), TransportUnavailableError)
    [role] = await servers.call("key", ("ROLE",))
    assert role[0] == b"master"
    assert further is not None
    assert further.is_open
    further.drop()
    await endpoint.close(sentinels)
    # A socket is closed at the next turn of the event loop.
    await asyncio.sleep(0)


async def _dialled(servers: Servers) -> Wire | None:
    try:
        return await servers.open_wire("key")
    except TransportUnavailableError:
        return None


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_a_failover_loses_no_acknowledged_job(driver: Driver, sentinels: Sentinels, fault: str) -> None:
    listener = driver.listen()
    await driver.put("d-1")
    await listener.wait(100)
    old = sentinels.master
    getattr(old, fault)()
    await eventually(lambda: put(driver), deadline_s=20)
    assert sentinels.master is not old
    assert {delivery.envelope.dispatch_id for delivery in await driver.start()} >= {"d-1"}

    async def is_heard() -> bool:
        return await put(driver) and await is_woken(listener, SignalKind.WORK, within_ms=300)

    await eventually(is_heard, deadline_s=20)
    await listener.close()
    if fault == "freeze":
        old.thaw()


async def test_writes_leave_an_old_master_that_lives_on(driver: Driver, sentinels: Sentinels) -> None:
    await driver.put("d-1")
    old = sentinels.master
    assert sentinels.sentinels[0].command("SENTINEL", "FAILOVER", sentinels.NAME)
    await eventually(lambda: sentinels.master is not old, deadline_s=20)

    async def reaches_the_new_one() -> bool:
        if not await put(driver):
            return False
        length = sentinels.master.command("XLEN", "elysium:heracles:stream:emails")
        await put(driver)
        return bool(sentinels.master.command("XLEN", "elysium:heracles:stream:emails") > length)

    await eventually(reaches_the_new_one, deadline_s=20)
    await asyncio.sleep(0)
