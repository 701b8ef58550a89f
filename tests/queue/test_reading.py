"""Looking at a queue: jobs, counts, workers, events."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heracles import JobEvent, JobNotFoundError, JobStatus, OptionError, Queue
from heracles.model import Envelope
from heracles.transport import Transport
from tests.queue.conftest import Hand, fresh_name
from tests.queue.jobs import Letter
from tests.waiting import eventually


async def test_a_job_is_found_by_any_of_its_names(queue: Queue) -> None:
    first = await queue.dispatch(Letter("1"), job_id="mine")
    second = await queue.dispatch(Letter("2"), job_id="mine")
    names: list[tuple[Any, list[str]]] = [(first, ["1"]), (first.sync, ["1"]), (first.dispatch_id, ["1"])]
    for name, args in [*names, ("mine", ["2"]), (second, ["2"])]:
        info = await queue.get_job(name)
        assert info is not None
        assert info.args == args
    assert await queue.get_job("nobody") is None


async def test_a_handle_is_had_from_an_id(queue: Queue, hand: Hand) -> None:
    first = await queue.dispatch(Letter("1"), job_id="mine")
    assert await queue.get_handle(first.dispatch_id) == first
    assert await queue.get_handle(first) == await queue.get_handle(first.sync) == first
    latest = await queue.dispatch(Letter("2"), job_id="mine")
    found = await queue.get_handle("mine")
    assert (found.job_id, found.dispatch_id, found.queue) == ("mine", latest.dispatch_id, queue.name)
    await hand.complete_all(2, "done")
    assert await found.result(timeout=5) == "done"
    with pytest.raises(JobNotFoundError, match="'nobody'"):
        await queue.get_handle("nobody")
    with pytest.raises(OptionError, match="id="):
        await queue.get_handle("no body")


async def test_the_last_change_of_a_job_is_at_first_its_dispatch(queue: Queue, hand: Hand) -> None:
    handle = await queue.dispatch(Letter("1"))
    waiting = await handle.info()
    assert waiting.updated_at == waiting.created_at
    await hand.complete_all(1)
    done = await handle.info()
    assert done.updated_at == done.completed_at


async def test_another_producer_s_job_is_found(queue: Queue) -> None:
    foreign = Envelope(
        job_id="theirs", dispatch_id="d-theirs", name="not-known-here", args=b'[{"a":1}]', kwargs=b'{"b":2}'
    )
    await queue.transport.enqueue(queue.name, [foreign])
    info = await queue.get_job("theirs")
    assert info is not None
    assert (info.name, info.args, info.kwargs) == ("not-known-here", [{"a": 1}], {"b": 2})
    hand = Hand(queue)
    await hand.complete_all(1, {"c": 3})
    info = await queue.get_job("theirs")
    assert info is not None
    assert info.result == {"c": 3}


async def test_jobs_are_listed_newest_first(queue: Queue, hand: Hand) -> None:
    handles = [await queue.dispatch(Letter(str(n))) for n in range(5)]
    await handles[1].cancel()
    await hand.complete_all()
    assert [info.args for info in await queue.jobs()] == [[str(n)] for n in (4, 3, 2, 1, 0)] or [
        info.dispatch_id for info in await queue.jobs()
    ] == [handle.dispatch_id for handle in reversed(handles)]
    assert [info.dispatch_id for info in await queue.jobs(limit=2)] == [h.dispatch_id for h in (handles[4], handles[3])]
    pending = await queue.jobs(status=JobStatus.PENDING)
    assert [info.dispatch_id for info in pending] == [handles[n].dispatch_id for n in (4, 3, 2)]
    assert [info.status for info in await queue.jobs("cancelled")] == [JobStatus.CANCELLED]
    assert [info.dispatch_id for info in await queue.jobs("completed")] == [handles[0].dispatch_id]


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": -1}, {"limit": "5"}, {"limit": True}, {"status": "done"}])
async def test_a_wrong_page_is_refused(local: Queue, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        await local.jobs(**options)


async def test_counts_have_every_status(queue: Queue, hand: Hand) -> None:
    assert await queue.counts() == dict.fromkeys(JobStatus, 0)
    await queue.dispatch_many([Letter(str(n)) for n in range(4)])
    failing, completing, _ = await hand.take(3)
    await hand.fail(failing)
    await hand.complete(completing)
    counts = await queue.counts()
    assert counts == {
        JobStatus.PENDING: 1,
        JobStatus.RUNNING: 1,
        JobStatus.COMPLETED: 1,
        JobStatus.FAILED: 1,
        JobStatus.CANCELLED: 0,
        JobStatus.SCHEDULED_FOR_RETRY: 0,
    }


async def test_workers_are_those_of_this_queue(queue: Queue, hand: Hand) -> None:
    other = Queue.get(fresh_name(), transport=queue.transport)
    assert await queue.workers() == []
    await queue.transport.beat(hand.session, [queue.name], "running", [])
    (worker,) = await queue.workers()
    assert (worker.id, worker.queues, worker.status) == ("hand", (queue.name,), "running")
    assert abs(datetime.now(UTC) - worker.last_seen) < timedelta(seconds=30)
    assert await other.workers() == []
    await queue.transport.retire(hand.session, [queue.name])
    assert await queue.workers() == []


async def test_workers_have_what_they_run_now(queue: Queue, hand: Hand) -> None:
    await queue.transport.beat(hand.session, [queue.name], "running", [])
    first = await queue.dispatch(Letter("first"))
    second = await queue.dispatch(Letter("second"))
    (delivery,) = await hand.take(1)
    assert [worker.running for worker in await queue.workers()] == [(first.dispatch_id,)]
    await hand.take(1)
    assert [worker.running for worker in await queue.workers()] == [(second.dispatch_id, first.dispatch_id)]
    await hand.complete(delivery)
    assert [worker.running for worker in await queue.workers()] == [(second.dispatch_id,)]


async def test_events_tell_every_change_in_order(queue: Queue, hand: Hand) -> None:
    await queue.dispatch(Letter("before"))
    events = queue.events()
    first = asyncio.create_task(anext(events))
    handle = await eventually_dispatched(queue, first)
    seen = [await first]
    while seen[-1].dispatch_id != handle.dispatch_id:
        seen.append(await anext(events))
    await queue.pause()
    await queue.resume()
    for delivery in await hand.take(1):
        await hand.fail(delivery, "ValueError: no")
    running, failed = await anext(events), await anext(events)
    assert [event.status for event in (seen[-1], running, failed)] == [
        JobStatus.PENDING,
        JobStatus.RUNNING,
        JobStatus.FAILED,
    ]
    assert failed.error == "ValueError: no"
    assert failed.at.tzinfo is not None
    await events.aclose()


async def eventually_dispatched(queue: Queue, first: "asyncio.Task[JobEvent]") -> Any:
    """Dispatch until the iterator, which begins some time after it is asked, has seen one."""

    async def attempt() -> Any:
        handle = await queue.dispatch(Letter("seen"))
        await asyncio.wait([first], timeout=0.05)
        return first.done() and handle

    return await eventually(attempt)


async def test_two_iterators_see_the_same(local: Queue) -> None:
    both = [local.events(), local.events()]
    firsts = [asyncio.create_task(anext(events)) for events in both]
    await asyncio.sleep(0.1)
    handle = await local.dispatch(Letter("a"))
    assert [event.dispatch_id for event in await asyncio.gather(*firsts)] == [handle.dispatch_id] * 2
    for events in both:
        await events.aclose()


async def test_a_gap_is_told(memory: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue.get("gap", transport=memory)
    events = queue.events()
    first = asyncio.create_task(anext(events))
    await asyncio.sleep(0.1)
    first_handle = await queue.dispatch(Letter("a"))
    assert (await first).dispatch_id == first_handle.dispatch_id
    # More than the last 10,000 changes that a store keeps.
    await queue.dispatch_many([Letter("b")] * 10_001)
    gap = await anext(events)
    assert (gap.status, gap.job_id, gap.dispatch_id) == (None, "", "")
    assert (await anext(events)).status is JobStatus.PENDING
    await events.aclose()
