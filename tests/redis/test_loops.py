"""One transport in several event loops, threads and processes, at once and one after the other."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest

from heracles.model import SignalKind
from heracles.redis import Redis, RedisTransport
from tests.conformance.driver import Driver, envelope, is_woken
from tests.redis.conftest import QUEUE, Behind
from tests.stores import RedisStore


@pytest.fixture
def transport(redis_store: RedisStore) -> RedisTransport:
    return RedisTransport(connection=redis_store.connection, key_prefix=redis_store.prefix)


def connected(behind: Behind) -> int:
    return int(behind.client.info("clients")["connected_clients"])


def test_one_loop_after_the_other(transport: RedisTransport, behind: Behind) -> None:
    before = connected(behind)
    for number in range(5):
        asyncio.run(Driver(transport).put(f"d-{number}"))
    assert len(asyncio.run(Driver(transport).start())) == 5
    gc.collect()
    while connected(behind) > before:
        pass


def test_a_loop_that_ends_leaves_no_warning(transport: RedisTransport) -> None:
    async def use() -> None:
        driver = Driver(transport)
        await driver.put()
        await transport.changes(QUEUE, (await driver.cursor()), 1)
        listener = driver.listen()
        await listener.wait(1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(use())
        gc.collect()


def test_on_uvloop(transport: RedisTransport) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def use() -> None:
        driver = Driver(transport)
        listener = driver.listen()
        await listener.wait(100)
        await driver.put()
        assert await is_woken(listener, SignalKind.WORK)
        assert len(await driver.start()) == 1

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(use())
        gc.collect()


def test_several_threads_at_once(transport: RedisTransport) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        async def put() -> None:
            await asyncio.gather(*(transport.enqueue(QUEUE, [envelope()]) for _ in range(50)))

        try:
            for _ in range(3):
                asyncio.run(put())
        except BaseException as error:  # noqa: BLE001 - told in the main thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert asyncio.run(Driver(transport).counts()) == {"PENDING": 600}


async def test_closing_in_one_place_closes_nothing_of_others(redis_store: RedisStore) -> None:
    first, second = (RedisTransport(connection=redis_store.connection, key_prefix=redis_store.prefix) for _ in range(2))
    await Driver(first).put()
    calls = [asyncio.create_task(Driver(second).put()) for _ in range(20)]
    await asyncio.sleep(0)
    await first.close()
    await first.close()
    await asyncio.gather(*calls)
    await second.close()
    await Driver(first).put()
    assert await Driver(second).counts() == {"PENDING": 22}
    await first.close()
    await second.close()


async def test_transports_on_one_connection_share_it(redis_store: RedisStore, behind: Behind) -> None:
    before = connected(behind)
    made = [
        RedisTransport(connection=redis_store.connection, key_prefix=f"{redis_store.prefix}:{number}")
        for number in range(10)
    ]
    for transport in made:
        await transport.open()
    assert connected(behind) == before + 1
    for transport in made:
        await transport.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_connects_anew(redis_store: RedisStore) -> None:
    program = f"""
        import asyncio, os, sys
        from heracles.redis import Redis, RedisTransport
        from tests.conformance.driver import Driver

        Redis.register_connection("forked", url={redis_store.servers[0].url!r})
        driver = Driver(RedisTransport(connection="forked", key_prefix={redis_store.prefix!r}))
        loop = asyncio.new_event_loop()
        loop.run_until_complete(driver.put("d-parent"))
        child = os.fork()
        if not child:
            asyncio.run(driver.put("d-child"))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        for number in range(5):
            loop.run_until_complete(driver.put(f"d-{{number}}"))
        print(loop.run_until_complete(driver.counts()))
        loop.run_until_complete(driver.transport.close())
        loop.close()
    """
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("{'PENDING': 7}", 0), done.stderr


def test_a_process_that_has_dispatched_ends_by_itself(redis_store: RedisStore) -> None:
    program = f"""
        import asyncio
        from heracles.redis import Redis, RedisTransport
        from tests.conformance.driver import Driver

        Redis.register_connection("ending", url={redis_store.servers[0].url!r})
        driver = Driver(RedisTransport(connection="ending", key_prefix={redis_store.prefix!r}))
        asyncio.run(driver.put())
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


async def test_a_beat_from_a_thread_of_its_own(transport: RedisTransport) -> None:
    driver = Driver(transport)
    delivery = await driver.put_running("d-1")
    beaten = await asyncio.to_thread(lambda: asyncio.run(driver.beat(delivery)))
    assert (beaten.lost, beaten.cancelled) == ((), ())
    assert [worker.running for worker in await transport.workers()] == [("d-1",)]
    await transport.close()


async def test_an_idle_listener_asks_seldom(transport: RedisTransport, behind: Behind) -> None:
    driver = Driver(transport)
    listener = driver.listen()
    await listener.wait(200)
    before = int(behind.client.info("stats")["total_commands_processed"])
    assert await listener.wait(2000) == ()
    after = int(behind.client.info("stats")["total_commands_processed"])
    assert after - before <= 6
    await listener.close()
    await transport.close()


async def test_one_job_wakes_few_of_many_listeners(transport: RedisTransport) -> None:
    drivers = [Driver(transport) for _ in range(30)]
    listeners = [driver.listen() for driver in drivers]
    for listener in listeners:
        await listener.wait(100)
    waits = [asyncio.create_task(is_woken(listener, SignalKind.WORK, within_ms=500)) for listener in listeners]
    await asyncio.sleep(0.1)
    await drivers[0].put()
    woken = sum(await asyncio.gather(*waits))
    assert 1 <= woken <= 3
    for listener in listeners:
        await listener.close()
    await transport.close()


async def test_a_connection_registered_anew_is_used_by_new_transports(redis_store: RedisStore) -> None:
    Redis.register_connection("changing", url="redis://127.0.0.1:1")
    old = RedisTransport(connection="changing", key_prefix=redis_store.prefix)
    assert old.identity.startswith("redis://127.0.0.1:1 ")
    Redis.register_connection("changing", url=redis_store.servers[0].url)
    new = RedisTransport(connection="changing", key_prefix=redis_store.prefix)
    await Driver(new).put()
    assert old.identity.startswith("redis://127.0.0.1:1 ")
    await new.close()
