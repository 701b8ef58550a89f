"""Pausing, draining, clearing, cancelling and retrying."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from heracles import JobNotFoundError, JobStatus, OptionError, Queue, ResultTimeoutError
from heracles.model import ReportKind
from tests.queue.conftest import Hand
from tests.queue.jobs import Billing, Letter
from tests.waiting import eventually


async def started(queue: Queue, hand: Hand) -> int:
    return len((await queue.transport.exchange(queue.name, hand.session, [], 10)).started)


async def test_a_paused_queue_starts_nothing_and_takes_dispatches(queue: Queue, hand: Hand) -> None:
    assert not await queue.is_paused()
    await queue.pause()
    assert await queue.is_paused()
    await queue.dispatch(Letter("a"))
    assert await started(queue, hand) == 0
    await queue.resume()
    assert not await queue.is_paused()
    await hand.complete_all()


async def test_draining_returns_when_all_has_ended(queue: Queue, hand: Hand) -> None:
    handles = await queue.dispatch_many([Letter("a"), Letter("b")])
    draining = asyncio.create_task(queue.drain(timeout=20))
    await eventually(queue.is_draining)
    first, second = await hand.take(2)
    await hand.complete(first)
    await hand.report(second, ReportKind.RETRY, delay_ms=1)
    await asyncio.sleep(0.1)
    assert not draining.done()
    await hand.complete_all()
    await draining
    assert [await handle.status() for handle in handles] == [JobStatus.COMPLETED] * 2
    assert await queue.is_draining()
    await queue.resume()
    assert not await queue.is_draining()


async def test_draining_leaves_what_is_scheduled_unless_asked(queue: Queue, hand: Hand) -> None:
    await queue.dispatch(Letter("later"), delay=timedelta(hours=1))
    await queue.drain(timeout=20)
    with pytest.raises(ResultTimeoutError):
        await queue.drain(timeout=0.2, scheduled=True)
    draining = asyncio.create_task(queue.drain(timeout=20, scheduled=True))
    await asyncio.sleep(0.05)
    assert not draining.done()
    assert await queue.clear() == 1
    await draining


@pytest.mark.parametrize("timeout", [0, 0.1, timedelta(milliseconds=100)])
async def test_draining_that_takes_too_long_goes_on(queue: Queue, timeout: float | timedelta) -> None:
    await queue.dispatch(Letter("a"))
    with pytest.raises(ResultTimeoutError, match="goes on draining"):
        await queue.drain(timeout=timeout)
    assert await queue.is_draining()


async def test_a_paused_queue_is_not_drained(queue: Queue) -> None:
    await queue.pause()
    with pytest.raises(OptionError, match="is paused"):
        await queue.drain()
    assert not await queue.is_draining()


async def test_a_queue_that_was_paused_while_it_drained_is_not_drained_further(queue: Queue) -> None:
    await queue.dispatch(Letter("x"))
    with pytest.raises(ResultTimeoutError):
        await queue.drain(timeout=0.01)
    await queue.pause()
    with pytest.raises(OptionError, match="is paused"):
        await queue.drain()
    assert await queue.is_draining()


async def test_clearing_ends_what_has_not_started(queue: Queue, hand: Hand) -> None:
    running = await queue.dispatch(Letter("running"))
    (delivery,) = await hand.take()
    retrying = await queue.dispatch(Letter("retrying"))
    (to_retry,) = await hand.take()
    await hand.report(to_retry, ReportKind.RETRY, delay_ms=60_000)
    waiting = await queue.dispatch_many([Letter("waiting"), Letter("waiting")])
    scheduled = await queue.dispatch(Letter("scheduled"), delay=60_000)
    assert await queue.clear() == 4
    for handle in (retrying, *waiting, scheduled):
        assert await handle.status() is JobStatus.CANCELLED
    assert await running.status() is JobStatus.RUNNING
    await hand.complete(delivery)
    assert await running.status() is JobStatus.COMPLETED
    assert await queue.clear() == 0


async def test_cancelling_all_ends_what_runs_too(queue: Queue, hand: Hand) -> None:
    handles = await queue.dispatch_many([Letter("a"), Letter("b"), Letter("c")])
    (delivery,) = await hand.take()
    assert await queue.cancel_all_jobs() == 3
    assert [await handle.status() for handle in handles] == [JobStatus.CANCELLED] * 3
    await hand.report(delivery, ReportKind.RELEASED)


async def test_a_job_is_cancelled_by_any_of_its_names(queue: Queue) -> None:
    by_handle = await queue.dispatch(Letter("a"))
    by_sync_handle = (await queue.dispatch(Letter("a"))).sync
    by_dispatch_id = await queue.dispatch(Letter("a"))
    assert await queue.cancel_job(by_handle)
    assert await queue.cancel_job(by_sync_handle)
    assert await queue.cancel_job(by_dispatch_id.dispatch_id)
    twins = [await queue.dispatch(Letter("a"), job_id="twins") for _ in range(2)]
    assert await queue.cancel_job("twins")
    assert [await twin.status() for twin in twins] == [JobStatus.CANCELLED] * 2
    assert not await queue.cancel_job("nobody")


async def test_an_ended_job_is_not_cancelled(queue: Queue, hand: Hand) -> None:
    handle = await queue.dispatch(Letter("a"))
    await hand.complete_all(1, "done")
    assert await handle.cancel() is False
    assert await handle.result() == "done"


@pytest.mark.parametrize("name", ["", "a b", "a*", "[a]", "{a}", "a\n", "x" * 257, 7, None])
async def test_a_name_that_no_job_can_have_is_refused(local: Queue, name: Any) -> None:
    for call in (local.cancel_job, local.get_job, local.retry_job):
        with pytest.raises(OptionError, match="id="):
            await call(name)


async def test_a_failed_job_is_retried_with_arguments_and_options(queue: Queue, hand: Hand) -> None:
    handle = await queue.dispatch(Billing, [5], priority=2, max_retries=0, timeout=700, job_id="mine")
    (delivery,) = await hand.take()
    await hand.fail(delivery)
    for name in (handle, handle.dispatch_id, "mine"):
        again = await queue.retry_job(name)
        assert again.job_id == "mine"
        assert again.dispatch_id != handle.dispatch_id
        (delivery,) = await hand.take()
        assert delivery.envelope.args == b"[5]"
        options = (delivery.envelope.priority, delivery.envelope.max_retries, delivery.envelope.timeout_ms)
        assert options == (2, 0, 700)
        assert delivery.envelope.no_overlap
        await hand.fail(delivery)


async def test_a_cancelled_job_is_retried(queue: Queue, hand: Hand) -> None:
    handle = await queue.dispatch(Letter("a", "b"))
    await handle.cancel()
    again = await queue.retry_job(handle)
    await hand.complete_all(1, "done")
    assert await again.result(timeout=5) == "done"
    assert await handle.status() is JobStatus.CANCELLED


async def test_what_has_not_failed_is_not_retried(queue: Queue, hand: Hand) -> None:
    handle = await queue.dispatch(Letter("a"))
    with pytest.raises(OptionError, match="is pending"):
        await queue.retry_job(handle)
    await hand.complete_all()
    with pytest.raises((OptionError, JobNotFoundError)):
        await queue.retry_job(handle)
    with pytest.raises(JobNotFoundError):
        await queue.retry_job("nobody")
