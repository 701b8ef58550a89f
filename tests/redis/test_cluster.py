"""A cluster: all keys of a queue in one slot, slots that move, masters that are found."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest

from heracles.errors import TransportError, TransportUnavailableError
from heracles.model import JobStatus, ReportKind, SignalKind
from heracles.redis import Redis, RedisTransport
from tests.conformance.driver import Driver, envelope, ids, is_woken
from tests.redis.conftest import QUEUE
from tests.servers import HOST, Cluster, MissingServerError, Server, redis_7
from tests.waiting import eventually


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    try:
        made = Cluster(redis_7()).start()
    except MissingServerError as missing:
        pytest.skip(str(missing))
    Redis.register_connection("moving", url=made.url, cluster=True)
    yield made
    made.stop()


@pytest.fixture
async def driver(cluster: Cluster) -> AsyncIterator[Driver]:
    transport = RedisTransport(connection="moving")
    yield Driver(transport)
    await transport.close()
    for server in cluster.servers:
        server.command("FLUSHALL")


def keys(cluster: Cluster) -> dict[str, int]:
    """Each key and the port of its node."""
    return {key.decode(): server.port for server in cluster.servers for key in server.command("KEYS", "*")}


async def test_the_queue_stands_in_braces(driver: Driver, cluster: Cluster) -> None:
    await driver.put("d-1", job_id="j", no_overlap=True)
    await driver.put("d-2", delay_ms=60_000)
    await driver.put("d-3", priority=3)
    await driver.start()
    found = keys(cluster)
    ours = {key: port for key, port in found.items() if "{emails}" in key}
    assert len(set(ours.values())) == 1
    assert set(found) - set(ours) == {"elysium:heracles:queues"}
    assert "elysium:heracles:stream:{emails}" in ours
    assert "elysium:heracles:lock:{emails}:j" in ours


async def test_queues_are_spread(driver: Driver, cluster: Cluster) -> None:
    for number in range(20):
        await Driver(driver.transport, f"queue-{number}").put()
    assert len({port for key, port in keys(cluster).items() if ":stream:" in key}) == 3
    assert len(await driver.transport.queues()) == 20


async def test_a_listener_hears_of_queues_on_every_node(driver: Driver) -> None:
    names = [f"queue-{number}" for number in range(6)]
    listener = driver.transport.listen(driver.session, names)
    await listener.wait(300)
    for name in names:
        await Driver(driver.transport, name).put()
        assert await is_woken(listener, SignalKind.WORK, name)
    await listener.close()


async def test_a_plain_connection_to_a_cluster_says_what_to_do(cluster: Cluster) -> None:
    Redis.register_connection("plain", url=cluster.url)
    transport = RedisTransport(connection="plain")
    with pytest.raises(TransportError, match="cluster=True"):
        await transport.open()
    await transport.close()


async def test_a_slot_that_moves_loses_nothing(driver: Driver, cluster: Cluster) -> None:
    await driver.put_all([envelope(dispatch_id=f"d-{number}") for number in range(50)])
    running = await driver.start(10)
    source = cluster.server_of("{emails}")
    target = next(server for server in cluster.servers if server is not source)
    slot = source.command("CLUSTER", "KEYSLOT", "{emails}")
    listener = driver.listen()
    await listener.wait(100)
    begin_move(source, target, slot)
    stop = asyncio.Event()
    put: list[str] = []

    async def go_on() -> None:
        while not stop.is_set():
            made = envelope()
            try:
                await driver.transport.enqueue(QUEUE, [made])
            except TransportUnavailableError:
                continue
            put.append(made.dispatch_id)

    task = asyncio.create_task(go_on())
    try:
        for keys_at_once in (1, 3, 1000):
            move_keys(source, target, slot, keys_at_once)
            with pytest.raises(TransportUnavailableError):
                await driver.transport.enqueue(QUEUE, [envelope(dispatch_id="d-refused")])
        end_move(cluster, target, slot)
        for delivery in running:
            await eventually(partial(reported, driver, delivery))
        await eventually(lambda: len(put) > 3)
    finally:
        stop.set()
        await task
        # The next test finds the cluster as it was.
        move(cluster, target, source, slot)
    await eventually(lambda: has_counts(driver, {"COMPLETED": 10, "PENDING": 40 + len(put)}))
    await eventually(lambda: is_heard(driver, listener))
    await listener.close()


async def test_a_wait_follows_its_slot(driver: Driver, cluster: Cluster) -> None:
    await driver.exchange((), 1, wait_ms=50)
    source = cluster.server_of("{emails}")
    target = next(server for server in cluster.servers if server is not source)
    slot = source.command("CLUSTER", "KEYSLOT", "{emails}")
    move(cluster, source, target, slot)
    try:
        # Refused where it was, it is answered at once where it is now. The next one waits there.
        await driver.exchange((), 1, wait_ms=60_000)
        task = asyncio.create_task(driver.exchange((), 1, wait_ms=60_000))
        done, _ = await asyncio.wait([task], timeout=0.3)
        assert not done
        made = await driver.put()
        assert ids((await asyncio.wait_for(task, 20)).started) == [made.dispatch_id]
    finally:
        move(cluster, target, source, slot)


async def is_heard(driver: Driver, listener: object) -> bool:
    await driver.start(250)
    await driver.put()
    return await is_woken(listener, SignalKind.WORK, within_ms=500)  # type: ignore[arg-type]  # a listener


async def reported(driver: Driver, delivery: object) -> bool:
    try:
        await driver.report(delivery, ReportKind.COMPLETED)  # type: ignore[arg-type]  # a delivery
    except TransportUnavailableError:
        return False
    return True


async def has_counts(driver: Driver, counts: dict[str, int]) -> bool:
    try:
        return await driver.counts() == counts
    except TransportUnavailableError:
        return False


def node_id(server: Server) -> str:
    return str(server.command("CLUSTER", "MYID").decode())


def begin_move(source: Server, target: Server, slot: int) -> None:
    target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source))
    source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(target))


def move_keys(source: Server, target: Server, slot: int, count: int) -> None:
    for key in source.command("CLUSTER", "GETKEYSINSLOT", slot, count):
        source.command("MIGRATE", HOST, target.port, key.decode(), 0, 5000)


def move(cluster: Cluster, source: Server, target: Server, slot: int) -> None:
    begin_move(source, target, slot)
    move_keys(source, target, slot, 100_000)
    end_move(cluster, target, slot)


def end_move(cluster: Cluster, target: Server, slot: int) -> None:
    id = node_id(target)
    for server in (target, *(other for other in cluster.servers if other is not target)):
        server.command("CLUSTER", "SETSLOT", slot, "NODE", id)


async def test_statuses_are_as_anywhere(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    assert await driver.cancel("d-1") == [True]
    assert await driver.status("d-1") is JobStatus.CANCELLED
    await driver.report(delivery, ReportKind.RELEASED)
    await driver.put("d-2")
    assert ids(await driver.start()) == ["d-2"]
