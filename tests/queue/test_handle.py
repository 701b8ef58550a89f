"""The handle: status, info, result, cancel."""

import asyncio
import datetime as dt
import traceback
from collections.abc import Sequence
from datetime import timedelta

import pytest

from heracles import (
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    JobStatus,
    Queue,
    ResultTimeoutError,
    TransportError,
)
from heracles.model import CleanupRules, Delivery, Record, ReportKind, WorkerInfo
from heracles.queue import handle as handle_module
from heracles.queue.client import MOST_CALLS
from heracles.transport import Transport
from tests.queue.conftest import Hand
from tests.queue.jobs import Anything, Billing, Letter, Receipt, add
from tests.waiting import eventually


async def test_status_and_info_follow_the_job(queue: Queue, hand: Hand) -> None:
    handle = await queue.dispatch(Letter("a"))
    assert await handle.status() is JobStatus.PENDING
    (delivery,) = await hand.take()
    assert await handle.status() is JobStatus.RUNNING
    running = await handle.info()
    assert (running.worker, running.started_at is not None, running.completed_at) == ("hand", True, None)
    await hand.complete(delivery, "done")
    done = await handle.info()
    assert (done.status, done.result, done.error) == (JobStatus.COMPLETED, "done", None)
    assert done.completed_at is not None


async def test_a_store_is_not_asked_by_all_handles_at_once(local: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    handles = [await local.dispatch(Letter("a")), await local.dispatch(Letter("b"))]
    find, asking, most = local.transport.find, 0, 0

    async def counted(queue: str, id: str) -> Record | None:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        try:
            # Also where the store answers on the spot.
            await asyncio.sleep(0)
            return await find(queue, id)
        finally:
            asking -= 1

    monkeypatch.setattr(local.transport, "find", counted)
    looks = [handle.status() for handle in handles * MOST_CALLS]
    assert await asyncio.gather(*looks) == [JobStatus.PENDING] * len(looks)
    assert most == MOST_CALLS


async def test_a_result_waits_for_the_end(queue: Queue, hand: Hand) -> None:
    handle = await queue.dispatch(Letter("a"))
    waiting = asyncio.create_task(handle.result(timeout=20))
    (delivery,) = await hand.take()
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await hand.complete(delivery, "the result")
    assert await waiting == "the result"
    # And is there at once afterwards, however short the time.
    assert await handle.result(timeout=0) == "the result"


async def test_a_result_has_the_type_that_the_job_returns(local: Queue) -> None:
    hand = Hand(local)
    handle = await local.dispatch(Billing(3))
    await hand.complete_all(1, Receipt(dt.date(2024, 1, 1), 3.0))
    assert await handle.result(timeout=5) == Receipt(dt.date(2024, 1, 1), 3.0)
    assert (await handle.info()).result == Receipt(dt.date(2024, 1, 1), 3.0)
    added = await local.dispatch(add, [1])
    await hand.complete_all(1, 2)
    assert await added.result(timeout=5) == 2
    anything = await local.dispatch(Anything(None))
    await hand.complete_all(1, {"a": [1]})
    assert await anything.result(timeout=5) == {"a": [1]}


async def test_a_job_without_a_result_returns_none(queue: Queue, hand: Hand) -> None:
    handle = await queue.dispatch(Letter("a"))
    await hand.complete_all()
    assert await handle.result(timeout=5) is None


async def test_many_handles_wait_at_once(queue: Queue, hand: Hand) -> None:
    handles = await queue.dispatch_many([Anything(n) for n in range(50)])
    waiting = asyncio.gather(*(handle.result(timeout=20) for handle in handles))
    for delivery in await hand.take(50):
        await hand.complete(delivery, int(delivery.envelope.args[1:-1]))
    assert await waiting == list(range(50))


async def test_a_failed_job_raises_with_error_and_traceback(queue: Queue, hand: Hand) -> None:
    handle = await queue.dispatch(Letter("a"))
    waiting = asyncio.create_task(handle.result(timeout=20))
    (delivery,) = await hand.take()
    await hand.fail(delivery, "ValueError: no stamps", "Traceback (most recent call last):\n  …")
    with pytest.raises(JobFailedError, match=r"queue-letter .* failed: ValueError: no stamps") as caught:
        await waiting
    assert caught.value.error == "ValueError: no stamps"
    assert caught.value.traceback == "Traceback (most recent call last):\n  …"
    assert "In the worker:" in caught.value.__notes__[0]


async def test_a_cancelled_job_raises(queue: Queue) -> None:
    handle = await queue.dispatch(Letter("a"))
    waiting = asyncio.create_task(handle.result(timeout=20))
    await asyncio.sleep(0)
    assert await handle.cancel() is True
    with pytest.raises(JobCancelledError):
        await waiting
    assert await handle.status() is JobStatus.CANCELLED


async def test_a_retry_is_no_end(queue: Queue, hand: Hand) -> None:
    handle = await queue.dispatch(Letter("a"))
    waiting = asyncio.create_task(handle.result(timeout=20))
    (delivery,) = await hand.take()
    await hand.report(delivery, ReportKind.RETRY, error="ValueError: once", delay_ms=1)
    (delivery,) = await hand.take()
    assert not waiting.done()
    await hand.complete(delivery, "at last")
    assert await waiting == "at last"
    info = await handle.info()
    assert (info.retries, info.error) == (1, None)


@pytest.mark.parametrize("timeout", [0, 0.05, timedelta(milliseconds=50)])
async def test_a_result_that_takes_too_long(queue: Queue, timeout: float | timedelta) -> None:
    handle = await queue.dispatch(Letter("a"))
    with pytest.raises(ResultTimeoutError, match=r"has not ended within 0(\.05)? s") as caught:
        await handle.result(timeout=timeout)
    assert isinstance(caught.value, TimeoutError)
    assert await handle.status() is JobStatus.PENDING


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look is cut short, however slow the machine is."""
    monkeypatch.setattr(handle_module, "FIRST_LOOK_S", 60.0)
    monkeypatch.setattr(handle_module, "LAST_LOOK_S", 60.0)


@pytest.mark.usefixtures("_patient")
async def test_a_result_that_takes_too_long_says_where_the_job_stands_by_then(
    local: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = Hand(local)
    handle = await local.dispatch(Letter("a"))
    await local.transport.beat(hand.session, [local.name], "running", [])
    with pytest.raises(ResultTimeoutError, match=r"within 0 s: it is pending$") as caught:
        await handle.result(timeout=0)
    assert "".join(traceback.format_exception(caught.value)).count("Traceback") == 1

    find = local.transport.find
    started: list[Delivery] = []

    async def starting(queue: str, id: str) -> Record | None:
        found = await find(queue, id)
        if not started:
            started.extend(await hand.take())
        return found

    monkeypatch.setattr(local.transport, "find", starting)
    with pytest.raises(ResultTimeoutError, match=r"within 0 s: it is running$"):
        await handle.result(timeout=0)
    await hand.complete(*started)


@pytest.mark.usefixtures("_patient")
async def test_a_result_that_nobody_works_at_says_so(queue: Queue, hand: Hand) -> None:
    handle = await queue.dispatch(Letter("a"))
    await queue.transport.beat(hand.session, [f"{queue.name}-other"], "running", [])
    says = rf"within 0 s: it is pending and no live worker serves queue '{queue.name}'$"
    with pytest.raises(ResultTimeoutError, match=says) as caught:
        await handle.result(timeout=0)
    assert "".join(traceback.format_exception(caught.value)).count("Traceback") == 1
    with pytest.raises(ResultTimeoutError, match=says):
        await asyncio.to_thread(handle.sync.result, 0)
    await hand.take()
    # It is told by its status that somebody works at it: the workers are not looked up.
    await queue.transport.retire(hand.session, [f"{queue.name}-other"])
    with pytest.raises(ResultTimeoutError, match=r"within 0 s: it is running$"):
        await handle.result(timeout=0)


@pytest.mark.usefixtures("_patient")
async def test_a_result_that_takes_too_long_while_the_workers_cannot_be_looked_up(
    local: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await local.dispatch(Letter("a"))

    async def refused() -> Sequence[WorkerInfo]:
        raise TransportError("no more")

    monkeypatch.setattr(local.transport, "workers", refused)
    with pytest.raises(ResultTimeoutError, match=r"within 0 s: it is pending$"):
        await handle.result(timeout=0)

    async def silent() -> Sequence[WorkerInfo]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(local.transport, "workers", silent)
    # Enough for the look that comes before, in memory.
    monkeypatch.setattr(handle_module, "LAST_LOOK_S", 1.0)
    with pytest.raises(ResultTimeoutError, match=r"has not ended within 0 s"):
        await handle.result(timeout=0)


@pytest.mark.usefixtures("_patient")
async def test_a_result_that_takes_too_long_while_the_store_refuses(
    local: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await local.dispatch(Letter("a"))
    find = local.transport.find
    looks: list[str] = []

    async def once(queue: str, id: str) -> Record | None:
        looks.append(id)
        if len(looks) > 1:
            raise TransportError("no more")
        return await find(queue, id)

    monkeypatch.setattr(local.transport, "find", once)
    with pytest.raises(ResultTimeoutError, match=r"has not ended within 0 s$"):
        await handle.result(timeout=0)
    assert len(looks) == 2


async def test_a_time_out_of_the_caller_is_the_caller_s(queue: Queue) -> None:
    handle = await queue.dispatch(Letter("a"))
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.05):
            await handle.result(timeout=30)
    assert not isinstance(caught.value, ResultTimeoutError)


async def test_a_record_that_is_gone(queue: Queue, hand: Hand) -> None:
    handle = await queue.dispatch(Letter("a"))
    await hand.complete_all()
    await queue.transport.cleanup(queue.name, CleanupRules(everything=True))
    for call in (handle.status, handle.info, handle.result):
        with pytest.raises(JobNotFoundError, match=handle.dispatch_id):
            await call()
    assert await handle.cancel() is False


async def test_nothing_is_left_running_after_waiting(local: Queue) -> None:
    before = asyncio.all_tasks()
    handle = await local.dispatch(Letter("a"))
    with pytest.raises(ResultTimeoutError):
        await handle.result(timeout=0.05)
    waiting = [asyncio.create_task(handle.result()) for _ in range(3)]
    await asyncio.sleep(0.05)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    await eventually(lambda: asyncio.all_tasks() == before, what="no task to be left")


async def test_a_missed_hint_is_made_up_for(memory: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handle looks by itself now and then, since the store may not tell it."""
    monkeypatch.setattr("heracles.queue.handle.LOOK_AGAIN_S", 0.05)
    queue = Queue.get("missed", transport=memory)
    handle = await queue.dispatch(Letter("a"))
    changes = memory.changes

    async def nothing(queue: str, cursor: str | None, timeout_ms: int) -> object:
        seen = await changes(queue, None, 0)
        await asyncio.sleep(0.02 if cursor else 0)
        return seen

    monkeypatch.setattr(memory, "changes", nothing)
    waiting = asyncio.create_task(handle.result(timeout=20))
    await Hand(queue).complete_all(1, "seen")
    assert await waiting == "seen"


async def test_handles_compare_by_what_they_stand_for(local: Queue) -> None:
    one = await local.dispatch(Letter("a"), dispatch_id="d1")
    again = await local.dispatch(Letter("a"), dispatch_id="d1")
    other = await local.dispatch(Letter("a"), dispatch_id="d2")
    assert one == again != other
    assert len({one, again, other, one.sync, again.sync}) == 3
    assert one != "d1"
    assert repr(one) == f"JobHandle(queue={local.name!r}, job_id={one.job_id!r}, dispatch_id='d1')"
    assert repr(one.sync) == f"Sync{one!r}"
