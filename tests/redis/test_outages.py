"""Servers that die, freeze or refuse, and networks that break: calls are bounded in time, and service goes on."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from heracles.errors import TransportError, TransportUnavailableError
from heracles.model import JobStatus, ReportKind, SignalKind, Verdict
from heracles.redis import Redis, RedisTransport
from heracles.redis.store import Store
from tests.conformance.driver import LATER_MS, Driver, envelope, ids, is_woken, report_on
from tests.proxy import Proxy
from tests.redis.conftest import QUEUE, MakePrivate
from tests.servers import Server
from tests.stores import REDIS_6, SINGLE_REDIS, VALKEY
from tests.waiting import eventually

DURABLE = {"appendonly": "yes", "appendfsync": "always"}
IMPATIENT: dict[str, Any] = {"socket_timeout": 0.3, "socket_connect_timeout": 0.3}


async def answers(driver: Driver) -> bool:
    try:
        await driver.counts()
    except TransportUnavailableError:
        return False
    return True


async def test_a_killed_server_is_unavailable_and_comes_back(make_private: MakePrivate) -> None:
    private = make_private(options=DURABLE)
    driver = private.driver()
    delivery = await driver.put_running("d-1")
    await driver.put("d-2")
    private.server.kill()
    for _ in range(2):
        with pytest.raises(TransportUnavailableError):
            await driver.put("d-3")
        with pytest.raises(TransportUnavailableError):
            await driver.exchange(slots=1)
    private.server.start()
    await eventually(lambda: answers(driver))
    assert await driver.counts() == {"PENDING": 1, "RUNNING": 1}
    await driver.finish(delivery)
    assert ids(await driver.start()) == ["d-2"]


async def test_a_restart_between_two_calls_is_not_noticed(make_private: MakePrivate) -> None:
    private = make_private(options=DURABLE)
    driver = private.driver()
    await driver.put("d-1")
    private.server.restart()
    await driver.put("d-2")
    private.server.restart()
    assert await driver.counts() == {"PENDING": 2}


async def test_a_listener_hears_again_after_a_restart(make_private: MakePrivate) -> None:
    private = make_private(options=DURABLE)
    driver = private.driver()
    listener = driver.listen()
    await listener.wait(200)
    private.server.restart()
    await eventually(lambda: answers(driver))

    async def hears() -> bool:
        await driver.put()
        heard = await is_woken(listener, SignalKind.WORK, within_ms=200)
        await driver.start()
        return heard

    await eventually(hears)

    async def hears_of_cancelled() -> bool:
        delivery = await driver.put_running()
        await driver.cancel(delivery.envelope.dispatch_id)
        return await is_woken(listener, SignalKind.CANCEL, within_ms=200)

    await eventually(hears_of_cancelled)
    await listener.close()


async def test_a_listener_waits_through_an_outage(make_private: MakePrivate) -> None:
    private = make_private()
    driver = private.driver()
    listener = driver.listen()
    await listener.wait(100)
    private.server.kill()
    began = time.monotonic()
    await listener.wait(100)
    assert await listener.wait(200) == ()
    assert time.monotonic() - began < 5
    await listener.close()
    assert await listener.wait(10_000) == ()


async def test_a_frozen_server_costs_no_more_than_the_time_out(make_private: MakePrivate) -> None:
    private = make_private(connection=IMPATIENT)
    driver = private.driver()
    delivery = await driver.put_running("d-1")
    private.server.freeze()
    try:
        began = time.monotonic()
        results = await asyncio.gather(
            driver.put("d-2"), driver.finish(delivery), driver.counts(), return_exceptions=True
        )
        assert all(isinstance(result, TransportUnavailableError) for result in results)
        with pytest.raises(TransportUnavailableError):
            await driver.counts()
        assert time.monotonic() - began < 8
    finally:
        private.server.thaw()
    await eventually(lambda: answers(driver))
    await driver.transport.enqueue(QUEUE, [envelope(dispatch_id="d-2")])
    assert await driver.report(delivery, ReportKind.COMPLETED) is Verdict.APPLIED
    assert await driver.counts() == {"COMPLETED": 1, "PENDING": 1}


@pytest.mark.parametrize("fault", ["cut", "half_open", "lose_replies"])
async def test_a_broken_network(make_private: MakePrivate, fault: str) -> None:
    private = make_private()
    with Proxy(private.server.port) as proxy:
        Redis.register_connection("proxied", url=proxy.url, **IMPATIENT)
        driver = Driver(RedisTransport(connection="proxied"))
        delivery = await driver.put_running("d-1")
        made = envelope(dispatch_id="d-2")
        getattr(proxy, fault)()
        with pytest.raises(TransportUnavailableError):
            await driver.transport.enqueue(QUEUE, [made])
        with pytest.raises(TransportUnavailableError):
            await driver.finish(delivery)
        proxy.restore()
        await driver.transport.enqueue(QUEUE, [made])
        assert await driver.report(delivery, ReportKind.COMPLETED) is Verdict.APPLIED
        assert await driver.counts() == {"COMPLETED": 1, "PENDING": 1}
        await driver.transport.close()


async def test_what_a_lost_answer_had_started_is_recovered(make_private: MakePrivate) -> None:
    private = make_private()
    with Proxy(private.server.port) as proxy:
        Redis.register_connection("proxied", url=proxy.url, **IMPATIENT)
        driver = Driver(RedisTransport(connection="proxied"))
        await driver.put_all([envelope(dispatch_id=f"d-{number}") for number in range(5)])
        (first,) = await driver.start(1)
        proxy.lose_replies()
        with pytest.raises(TransportUnavailableError):
            await driver.exchange([report_on(first, ReportKind.COMPLETED)], 2)
        proxy.restore()
        found = await driver.transport.recover(QUEUE, driver.session, [])
        assert ids(found) == ["d-1", "d-2"]
        assert await driver.counts() == {"COMPLETED": 1, "RUNNING": 2, "PENDING": 2}
        await driver.transport.close()


async def test_reset_connections_are_opened_again(make_private: MakePrivate) -> None:
    private = make_private()
    driver = private.driver()
    for number in range(20):
        await driver.put(f"d-{number}")
        private.server.command("CLIENT", "KILL", "TYPE", "normal")
    assert await driver.counts() == {"PENDING": 20}


async def test_calls_under_way_when_connections_are_killed_happen_once(make_private: MakePrivate) -> None:
    private = make_private()
    driver = private.driver()
    batches = [[envelope() for _ in range(20)] for _ in range(50)]

    async def put(batch: list[object]) -> None:
        while True:
            try:
                await driver.transport.enqueue(QUEUE, batch)  # type: ignore[arg-type]  # envelopes
            except TransportUnavailableError:
                continue
            return

    tasks = [asyncio.create_task(put(batch)) for batch in batches]  # type: ignore[arg-type]  # envelopes
    for turn in range(40):
        private.server.command("CLIENT", "KILL", "TYPE", "normal")
        for _ in range(turn % 7):
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert await driver.counts() == {"PENDING": 1000}


async def test_a_cancelled_call_leaves_the_connection_usable(make_private: MakePrivate) -> None:
    driver = make_private().driver()
    await driver.put("d-0")
    for number in range(1, 30):
        task = asyncio.create_task(driver.put(f"d-{number}"))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await driver.find("d-0")).status is JobStatus.PENDING


async def test_a_server_that_is_loading_or_busy_is_unavailable(make_private: MakePrivate) -> None:
    private = make_private(options={"lua-time-limit": 50}, connection=IMPATIENT)
    driver = private.driver()
    await driver.put("d-1")
    with private.server.client() as client:
        busy = asyncio.to_thread(_run_until_killed, client, "while true do end")
        task = asyncio.create_task(busy)

        async def is_busy() -> bool:
            try:
                await driver.counts()
            except TransportUnavailableError as error:
                return "BUSY" in str(error)
            return False

        await eventually(is_busy)
        private.server.command("SCRIPT", "KILL")
        await task
    await eventually(lambda: answers(driver))


def _run_until_killed(client: "redis.Redis", text: str) -> None:
    with pytest.raises(redis.ResponseError, match="killed"):
        client.eval(text, 0)


async def test_a_replica_is_unavailable_for_writing(make_private: MakePrivate) -> None:
    master, replica = make_private(), make_private()
    driver = replica.driver()
    await driver.put("d-1")
    replica.server.command("REPLICAOF", "127.0.0.1", master.server.port)
    with pytest.raises(TransportUnavailableError):
        await driver.put("d-2")


@pytest.mark.parametrize("kind", SINGLE_REDIS)
async def test_a_full_memory_refuses_dispatches_and_lets_jobs_complete(make_private: MakePrivate, kind: str) -> None:
    private = make_private(kind=kind, options={"maxmemory-policy": "noeviction"})
    driver = private.driver()
    await driver.put_all([envelope() for _ in range(50)])
    running = await driver.start(10)
    await driver.put("d-later", delay_ms=1)
    private.server.command("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(TransportError, match="maxmemory"):
        await driver.put("d-refused")
    assert await driver.transport.find(QUEUE, "d-refused") is None
    for delivery in running[:5]:
        await driver.finish(delivery, result=b"1" * 100)
    assert await driver.report(running[5], ReportKind.RETRY, error="no", delay_ms=LATER_MS) is Verdict.APPLIED
    assert await driver.report(running[6], ReportKind.RETURNED) is Verdict.APPLIED
    assert (await driver.beat(*running[7:])).lost == ()
    assert len(await driver.start(10)) == 10
    assert await driver.cancel(running[7].envelope.dispatch_id) == [True]
    private.server.command("CONFIG", "SET", "maxmemory", 0)
    await driver.put("d-accepted")


@contextlib.asynccontextmanager
async def pretending(answer: bytes) -> AsyncIterator[int]:
    """A server that answers always the same; its port."""
    handlers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        while await reader.read(1000):
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*handlers, return_exceptions=True)


async def open_and_close(port: int) -> None:
    Redis.register_connection("pretending", url=f"redis://127.0.0.1:{port}", **IMPATIENT)
    transport = RedisTransport(connection="pretending")
    try:
        await transport.open()
    finally:
        await transport.close()


async def test_a_server_that_is_too_old_is_named() -> None:
    info = b"redis_version:6.0.16\r\n"
    async with pretending(b"$%d\r\n%s\r\n" % (len(info), info)) as port:
        with pytest.raises(TransportError, match=r"6\.2 or newer"):
            await open_and_close(port)


async def test_a_server_that_speaks_something_else_is_no_hang() -> None:
    async with pretending(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        with pytest.raises(TransportError):
            await open_and_close(port)


async def test_an_evicting_policy_is_warned_of_once(
    make_private: MakePrivate, caplog: pytest.LogCaptureFixture
) -> None:
    private = make_private(options={"maxmemory-policy": "allkeys-lru"})
    transport = private.transport()
    await transport.open()
    await transport.open()
    assert caplog.text.count("allkeys-lru") == 1


async def test_durability_fsync_needs_a_server_that_can(make_private: MakePrivate) -> None:
    with pytest.raises(TransportError, match="appendonly"):
        await make_private().transport(durability="fsync").open()
    with pytest.raises(TransportError, match="appendfsync"):
        await make_private(kind=REDIS_6, options={"appendonly": "yes"}).transport(durability="fsync").open()
    private = make_private(options=DURABLE)
    driver = private.driver(durability="fsync")
    await driver.put("d-1")
    private.server.restart()
    assert await driver.status("d-1") is JobStatus.PENDING


@pytest.mark.parametrize(("durability", "most"), [("memory", 2), ("fsync", 1)])
async def test_of_many_dispatches_two_calls_are_under_way_unless_each_is_confirmed(
    make_private: MakePrivate, monkeypatch: pytest.MonkeyPatch, durability: str, most: int
) -> None:
    driver = make_private(options=DURABLE).driver(durability=durability)
    store = driver.transport._store  # type: ignore[attr-defined]  # a RedisTransport
    run, under_way, seen = store.run, 0, []

    async def counting(*args: Any, **options: Any) -> Any:
        nonlocal under_way
        under_way += 1
        seen.append(under_way)
        try:
            return await run(*args, **options)
        finally:
            under_way -= 1

    monkeypatch.setattr(store, "run", counting)
    made = [envelope() for _ in range(1100)]
    answers = await driver.transport.enqueue(driver.queue, made)
    assert [answer.dispatch_id for answer in answers] == [each.dispatch_id for each in made]
    assert (len(seen), max(seen)) == (5, most)


async def test_durability_fsync_has_the_server_tell_when_a_write_is_on_disk(make_private: MakePrivate) -> None:
    private = make_private(kind=VALKEY, options={"appendonly": "yes"})
    driver = private.driver(durability="fsync")
    await driver.put("d-1")
    assert "cmdstat_waitaof" in private.server.info("commandstats")
    private.server.kill()
    private.server.start()
    assert await driver.status("d-1") is JobStatus.PENDING


async def test_durability_fsync_asks_a_server_that_can_tell() -> None:
    info = b"redis_version:7.2.0\r\naof_enabled:1\r\n"
    async with pretending(b"$%d\r\n%s\r\n" % (len(info), info)) as port:
        Redis.register_connection("pretending", url=f"redis://127.0.0.1:{port}", **IMPATIENT)
        store = Store("pretending", "p", "workers", RedisTransport(durability="fsync").settings)
        assert await store.durable() == ("WAITAOF", 1, 0, 3000)
        await store.close()


async def test_durability_replicated_needs_a_replica(make_private: MakePrivate) -> None:
    master, replica = make_private(), make_private()
    replica.server.command("REPLICAOF", "127.0.0.1", master.server.port)
    driver = master.driver(durability="replicated")
    await eventually(lambda: _has_replica(master.server))
    await driver.put("d-1")
    assert replica.server.command("EXISTS", "elysium:heracles:stream:emails") == 1
    replica.server.kill()
    made = envelope(dispatch_id="d-2")
    for _ in range(2):
        with pytest.raises(TransportError, match="replica"):
            await driver.transport.enqueue(QUEUE, [made])
    assert (await driver.find("d-2")).status is JobStatus.PENDING


def _has_replica(server: Server) -> bool:
    return "online" in server.info("replication").get("slave0", "")
