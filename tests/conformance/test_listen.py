"""``Transport.listen``: hints for workers."""

import asyncio
import threading
import time

import pytest

from heracles.model import ReportKind, SignalKind
from heracles.transport import Listener
from tests.conformance.driver import LATER_MS, Driver, envelope, ids, is_woken, session
from tests.waiting import eventually


async def _ready(driver: Driver) -> Listener:
    """A listener that surely has begun to listen, since it has had a hint, and has none left."""
    listener = driver.listen()

    async def hears() -> bool:
        # Another listener may be the one that is woken.
        marker = await driver.put()
        signals = await listener.wait(100)
        await driver.cancel(marker.dispatch_id)
        return bool(signals)

    await eventually(hears)

    async def is_quiet() -> bool:
        return not await listener.wait(50)

    await eventually(is_quiet)
    return listener


async def test_a_dispatch_wakes_a_waiting_listener(driver: Driver) -> None:
    listener = await _ready(driver)
    waiting = asyncio.create_task(listener.wait(5000))
    await driver.put()
    signals = await waiting
    assert {(signal.kind, signal.queue) for signal in signals} == {(SignalKind.WORK, "emails")}
    await listener.close()


async def test_a_hint_that_came_before_the_wait_is_kept(driver: Driver) -> None:
    listener = await _ready(driver)
    await driver.put()
    assert await is_woken(listener, SignalKind.WORK)
    await listener.close()


async def test_without_hints_a_wait_ends_in_time(driver: Driver) -> None:
    listener = await _ready(driver)
    before = time.monotonic()
    assert list(await listener.wait(100)) == []
    assert 0.05 < time.monotonic() - before < 5
    await listener.close()


async def test_of_several_queues_the_right_one_is_named(driver: Driver) -> None:
    listener = driver.transport.listen(driver.session, ["emails", "others", "third"])
    await listener.wait(1)
    for queue in ("third", "emails", "others"):
        other = Driver(driver.transport, queue)
        await other.put()
        assert await is_woken(listener, SignalKind.WORK, queue)
        await other.start()
    await listener.close()


async def test_close_ends_a_wait_and_is_safe_twice(driver: Driver) -> None:
    listener = await _ready(driver)
    waiting = asyncio.create_task(listener.wait(20_000))
    await asyncio.sleep(0)
    await listener.close()
    assert list(await asyncio.wait_for(waiting, 5)) == []
    await listener.close()


async def test_a_listener_that_never_waited_can_be_closed(driver: Driver) -> None:
    listener = driver.listen()
    await listener.close()
    await listener.close()


async def test_a_cancelled_wait_loses_nothing(driver: Driver) -> None:
    listener = await _ready(driver)

    async def was_cancelled() -> bool:
        waiting = asyncio.create_task(listener.wait(20_000))
        await asyncio.sleep(0.01)
        # A late hint of its beginning may have ended it.
        if waiting.done():
            return False
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return True

    await eventually(was_cancelled)
    await driver.put()
    assert await is_woken(listener, SignalKind.WORK)
    await listener.close()


async def test_one_job_wakes_few_of_many(driver: Driver) -> None:
    listeners = [driver.listen(session(f"worker-{number}")) for number in range(20)]

    async def wakes_few() -> bool:
        # On a busy machine some have just begun to listen, which gives a hint to each of them once.
        await asyncio.gather(*(listener.wait(50) for listener in listeners))
        waiting = [asyncio.create_task(listener.wait(400)) for listener in listeners]
        await asyncio.sleep(0.02)
        await driver.put()
        woken = [signals for signals in await asyncio.gather(*waiting) if signals]
        return 1 <= len(woken) <= 5

    await eventually(wakes_few)
    for listener in listeners:
        await listener.close()


async def test_whoever_leaves_ready_work_wakes_the_next(driver: Driver) -> None:
    listener = driver.listen(session("worker-2"))
    await listener.wait(30)
    await driver.put_all([envelope() for _ in range(3)])

    async def took_all() -> bool:
        signals = await listener.wait(1000)
        if signals:
            await driver.start(1)
        return "PENDING" not in await driver.counts()

    await eventually(took_all)
    await listener.close()


@pytest.mark.parametrize("kind", [ReportKind.RETURNED, ReportKind.UNSTARTED])
async def test_what_is_given_back_wakes_a_listener(driver: Driver, kind: ReportKind) -> None:
    delivery = await driver.put_running()
    listener = await _ready(driver)
    await driver.report(delivery, kind)
    assert await is_woken(listener, SignalKind.WORK)
    await listener.close()


@pytest.mark.parametrize("delay_ms", [0, 100])
@pytest.mark.parametrize("kind", [ReportKind.RETRY, ReportKind.UNKNOWN])
async def test_a_listener_is_woken_in_time_for_what_waits(driver: Driver, kind: ReportKind, delay_ms: int) -> None:
    delivery = await driver.put_running("d-1")
    assert (await driver.exchange(slots=1)).next_due_ms != 0
    listener = await _ready(driver)
    await driver.report(delivery, kind, delay_ms=delay_ms)
    await _follow_the_hints(driver, listener)


async def test_a_listener_is_woken_in_time_for_an_earlier_dispatch(driver: Driver) -> None:
    await driver.put("late", delay_ms=LATER_MS)
    listener = await _ready(driver)
    await driver.put("d-1", delay_ms=100)
    await _follow_the_hints(driver, listener)


async def _follow_the_hints(driver: Driver, listener: Listener) -> None:
    """Start ``d-1`` as a worker does that looks when a hint comes, or when it knows that something is due."""
    timeout_ms = 5000
    for _ in range(20):
        await listener.wait(timeout_ms)
        exchanged = await driver.exchange(slots=1)
        if exchanged.started:
            break
        timeout_ms = min(5000, exchanged.next_due_ms or 5000)
    else:
        raise AssertionError("it was woken again and again for nothing")
    assert ids(exchanged.started) == ["d-1"]
    record = await driver.find("d-1")
    assert exchanged.started[0].started_at_ms - (record.scheduled_for_ms or record.created_at_ms) < 2000
    await listener.close()


async def test_a_worker_that_stops_wakes_another_for_what_is_ready(driver: Driver) -> None:
    await driver.beat()
    await driver.put()
    listener = driver.listen(session("worker-2"))

    async def is_quiet() -> bool:
        return not await listener.wait(100)

    await eventually(is_quiet)
    await driver.transport.retire(driver.session, [driver.queue])
    assert await is_woken(listener, SignalKind.WORK)
    await listener.close()


async def test_a_resumed_queue_wakes_a_listener(driver: Driver) -> None:
    listener = await _ready(driver)
    await driver.transport.gate(driver.queue, paused=True)
    await driver.put()
    await driver.exchange(slots=1)

    async def is_quiet() -> bool:
        return not await listener.wait(50)

    await eventually(is_quiet)
    await driver.transport.gate(driver.queue, paused=False)
    assert await is_woken(listener, SignalKind.WORK)
    await listener.close()


async def test_a_dispatch_from_another_thread_and_loop_wakes_it(driver: Driver) -> None:
    listener = await _ready(driver)
    waiting = asyncio.create_task(listener.wait(5000))

    async def dispatch() -> None:
        await driver.put()
        await driver.transport.close()

    thread = threading.Thread(target=lambda: asyncio.run(dispatch()))
    thread.start()
    assert await waiting
    await asyncio.to_thread(thread.join)
    await listener.close()


# ---- hints that are not wanted


async def test_a_listener_with_no_free_slot_hands_its_hint_on(driver: Driver) -> None:
    busy, free = await _ready(driver), await _ready(driver)
    busy.want([])
    await busy.wait(1)
    waits = [asyncio.create_task(listener.wait(5000)) for listener in (busy, free)]
    await asyncio.sleep(0.02)
    for _ in range(5):
        await driver.put()
        assert any(signal.kind is SignalKind.WORK for signal in await waits[1])
        await driver.start()
        waits[1] = asyncio.create_task(free.wait(5000))
        await asyncio.sleep(0)
    await free.close()
    await busy.close()
    await asyncio.gather(*waits)


async def test_a_listener_with_no_free_slot_still_hears_of_cancelled_jobs(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.beat(delivery)
    listener = await _ready(driver)
    listener.want([])
    await driver.cancel("d-1")
    assert await is_woken(listener, SignalKind.CANCEL)
    await listener.close()


async def test_a_queue_that_is_wanted_again_gives_hints_again(driver: Driver) -> None:
    listener = await _ready(driver)
    listener.want([])
    await listener.wait(20)
    listener.want([driver.queue])
    assert await driver.start() == []
    await driver.put()
    assert await is_woken(listener, SignalKind.WORK)
    await listener.close()


async def test_hints_of_the_wanted_queues_come_though_others_are_not_wanted(driver: Driver) -> None:
    listener = driver.transport.listen(driver.session, ["emails", "others"])
    await listener.wait(1)
    listener.want(["emails"])
    await Driver(driver.transport, "others").put()
    await driver.put()
    assert await is_woken(listener, SignalKind.WORK, "emails")
    await listener.close()
