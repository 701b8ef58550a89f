"""``open``, ``close``, ``identity``, ``settings``; several loops and threads; calls that are cancelled."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any

from heracles.model import JobStatus, ReportKind
from heracles.options import StoreSettings
from heracles.transport import Transport
from tests.conformance.driver import Driver, envelope, ids, report_on, session
from tests.conftest import MakeTransport
from tests.stores import Store
from tests.waiting import eventually


def _in_a_thread(*coroutines: Coroutine[Any, Any, Any]) -> list[threading.Thread]:
    """Run each in a thread with an event loop of its own."""
    threads = [threading.Thread(target=asyncio.run, args=(coroutine,)) for coroutine in coroutines]
    for thread in threads:
        thread.start()
    return threads


async def _joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        await asyncio.to_thread(thread.join)


async def test_open_may_be_called_again(transport: Transport) -> None:
    await transport.open()
    await transport.open()
    await Driver(transport).put()


async def test_close_is_safe_before_use_and_twice(make_transport: MakeTransport) -> None:
    transport = make_transport()
    await transport.close()
    await transport.close()


async def test_it_can_be_used_again_after_close(shared_store: Store, driver: Driver) -> None:
    await driver.put("d-1")
    await driver.transport.close()
    assert await driver.status("d-1") is JobStatus.PENDING
    await driver.transport.close()
    await driver.finish(await driver.start_one())


async def test_it_can_be_used_without_open(transport: Transport) -> None:
    await Driver(transport).put()


async def test_settings_are_what_was_given_and_defaults(make_transport: MakeTransport) -> None:
    settings = make_transport(lease=1234, status_ttl=77, max_payload_bytes=4096).settings
    assert isinstance(settings, StoreSettings)
    assert (settings.lease_ms, settings.status_ttl_s, settings.max_payload_bytes) == (1234, 77, 4096)
    assert (settings.poll_interval_ms, settings.max_deliveries, settings.durability) == (1000, 5, "memory")


async def test_identity_tells_stores_apart(shared_store: Store, make_transport: MakeTransport) -> None:
    first, second = make_transport(), make_transport(lease=5000)
    assert first.identity == second.identity != ""


async def test_two_transports_see_one_store(shared_store: Store, make_transport: MakeTransport) -> None:
    producer, worker = Driver(make_transport()), Driver(make_transport())
    await producer.put("d-1")
    delivery = await worker.start_one()
    await producer.cancel("d-1")
    assert (await worker.beat(delivery)).cancelled == (worker.held(delivery),)


async def test_one_loop_after_the_other_may_use_it(driver: Driver) -> None:
    async def dispatch(number: int) -> None:
        await driver.put(f"d-{number}")
        await driver.transport.close()

    for number in range(4):
        await _joined(_in_a_thread(dispatch(number)))
    assert sorted(ids(await driver.start())) == [f"d-{number}" for number in range(4)]


async def test_a_loop_that_ended_without_close_does_no_harm(driver: Driver) -> None:
    async def dispatch() -> None:
        await driver.put("d-1")
        await driver.transport.close()

    await driver.put("d-0")
    await _joined(_in_a_thread(dispatch()))
    assert ids(await driver.start()) == ["d-0", "d-1"]


async def test_several_threads_with_loops_of_their_own_may_use_it_at_once(driver: Driver) -> None:
    done: list[str] = []

    async def produce(number: int) -> None:
        for index in range(20):
            await driver.put(f"d-{number}-{index}")
        await driver.transport.close()

    async def work(number: int) -> None:
        worker = session(f"worker-{number}")

        async def all_done() -> bool:
            started = await driver.start(3, by=worker)
            await driver.exchange([report_on(each, ReportKind.COMPLETED) for each in started], by=worker)
            done.extend(ids(started))
            return len(done) >= 80

        await eventually(all_done)
        await driver.transport.close()

    await _joined(_in_a_thread(*(produce(number) for number in range(4)), *(work(number) for number in range(3))))
    assert len(done) == len(set(done)) == 80
    assert await driver.counts() == {"COMPLETED": 80}


async def test_many_calls_at_once_are_served(driver: Driver) -> None:
    await asyncio.gather(*(driver.put(f"d-{number}") for number in range(200)))
    found = await asyncio.gather(*(driver.status(f"d-{number}") for number in range(200)))
    assert found == [JobStatus.PENDING] * 200


async def test_a_cancelled_dispatch_is_stored_once_or_not_at_all(driver: Driver) -> None:
    batch = [envelope(dispatch_id=f"d-{number}") for number in range(60)]
    for number, each in enumerate(batch):
        await _cancelled_midway(driver.transport.enqueue(driver.queue, [each]), number % 6)
    await driver.put("last")
    await eventually(lambda: _counts_agree(driver, batch))
    # Repeating is harmless.
    await driver.transport.enqueue(driver.queue, batch)
    assert await driver.counts() == {"PENDING": 61}


async def _counts_agree(driver: Driver, batch: list[Any]) -> bool:
    known = [await driver.transport.find(driver.queue, each.dispatch_id) for each in batch]
    return await driver.counts() == {"PENDING": 1 + len([record for record in known if record])}


async def _cancelled_midway(call: Coroutine[Any, Any, Any], turns: int) -> None:
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_cancelled_call_leaves_the_answers_of_others_alone(driver: Driver) -> None:
    await driver.put_all([envelope(dispatch_id=f"d-{number}", job_id=f"j-{number}") for number in range(50)])
    for turns in range(8):
        victims = [asyncio.ensure_future(driver.find(f"d-{number}")) for number in range(10)]
        others = [asyncio.ensure_future(driver.find(f"d-{number}")) for number in range(50)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for victim in victims:
            victim.cancel()
        await asyncio.gather(*victims, return_exceptions=True)
        assert [record.job_id for record in await asyncio.gather(*others)] == [f"j-{number}" for number in range(50)]


async def test_what_a_cancelled_exchange_started_is_recovered(driver: Driver) -> None:
    await driver.put_all([envelope() for _ in range(40)])
    started: list[str] = []
    for turns in range(20):
        task = asyncio.ensure_future(driver.start(2))
        for _ in range(turns % 7):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            started.extend(ids(await task))

    async def all_known() -> bool:
        recovered = await driver.transport.recover(driver.queue, driver.session, [])
        running = (await driver.counts()).get("RUNNING", 0)
        return len(recovered) == running and set(started) <= set(ids(recovered))

    await eventually(all_known)


async def test_answers_are_not_mixed_up_under_load(driver: Driver) -> None:
    async def one(number: int) -> None:
        own = Driver(driver.transport, f"q-{number % 5}")
        await own.put(f"d-{number}", job_id=f"j-{number}")
        assert (await own.find(f"d-{number}")).job_id == f"j-{number}"
        assert (await own.find(f"j-{number}")).dispatch_id == f"d-{number}"

    await asyncio.gather(*(one(number) for number in range(100)))
