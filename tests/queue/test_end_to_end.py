"""From a dispatch through a real worker to its result, on every store."""

import asyncio
import datetime as dt
import decimal
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from heracles import (
    Job,
    JobCancelledError,
    JobFailedError,
    JobStatus,
    Queue,
    QueueDrainingError,
    Worker,
    current_run,
    job,
)
from heracles.transport import Transport
from tests.queue.conftest import fresh_name
from tests.queue.jobs import Anything, Letter, add, join
from tests.waiting import eventually


@dataclass(frozen=True)
class Line:
    product: str
    price: decimal.Decimal
    tags: frozenset[str] = frozenset()


@Job.register(name="end-order")
class Order(Job):
    def __init__(self, day: dt.date, lines: list[Line], note: bytes | None = None, *, urgent: bool = False) -> None:
        self.day, self.lines, self.note, self.urgent = day, lines, note, urgent

    async def execute(self) -> list[Line]:
        assert (type(self.day), type(self.lines[0])) == (dt.date, Line)
        return sorted(self.lines, key=lambda line: line.price)


@Job.register(name="end-facts")
class Facts(Job):
    """Returns what it knows of its run."""

    def execute(self) -> list[Any]:
        assert self.created_at is not None
        assert self.started_at is not None
        assert self.created_at <= self.started_at
        run = current_run()
        assert run is not None
        assert run.dispatch_id == self.dispatch_id
        return [self.id, self.dispatch_id, self.queue_name, self.retries, self.status, self.token, self.last_error]


@Job.register(name="end-fails", max_retries=1, retry_delay=1)
class Fails(Job):
    def __init__(self, times: int) -> None:
        self.times = times

    async def execute(self) -> str | None:
        if self.retries < self.times:
            raise ValueError(f"run {self.retries}")
        return self.last_error


@Job.register(name="end-chain")
class Chain(Job):
    """Dispatches more jobs, while its queue is draining."""

    def __init__(self, left: int) -> None:
        self.left = left

    async def execute(self) -> int:
        queue = Queue.get(self.queue_name or "")
        assert await queue.is_draining()
        if self.left:
            await queue.dispatch(Chain(self.left - 1))
        return self.left


@Job.register(name="end-chain-in-thread")
class ChainInThread(Job):
    def execute(self) -> str:
        handle = Queue.get(self.queue_name or "").sync.dispatch(Letter("from a thread"))
        return handle.dispatch_id


@Job.register(name="end-waits")
class Waits(Job):
    async def execute(self) -> None:
        await asyncio.Event().wait()


@job(name="end-in-thread")
def in_thread(go: bool) -> str | None:
    run = current_run()
    return run.id if run and go and threading.current_thread() is not threading.main_thread() else None


@pytest.fixture
async def served(transport: Transport) -> AsyncIterator[Queue]:
    """A queue with a worker."""
    queue = Queue.get(fresh_name(), transport=transport)
    async with Worker(id="end-worker", transport=transport) as worker:
        await worker.create_queue(name=queue.name, concurrency=5)
        await worker.start()
        yield queue


async def test_arguments_and_results_keep_their_types(served: Queue) -> None:
    lines = [Line("b", decimal.Decimal("2.50"), frozenset({"x"})), Line("a", decimal.Decimal("1"))]
    handle = await served.dispatch(Order(dt.date(2024, 2, 29), lines, b"\x00", urgent=True))
    assert await handle.result(timeout=10) == [lines[1], lines[0]]
    info = await handle.info()
    assert (info.status, info.name, info.worker, info.queue) == ("completed", "end-order", "end-worker", served.name)
    assert info.result == [lines[1], lines[0]]


async def test_functions_run(served: Queue) -> None:
    summed = await served.dispatch(add, [1, 2])
    joined = await served.dispatch(join, ["a", "b"], kwargs={"by": "-"})
    threaded = await in_thread.with_options(served, job_id="mine").dispatch(go=True)
    assert await summed.result(timeout=10) == 3
    assert await joined.result(timeout=10) == "a-b"
    assert await threaded.result(timeout=10) == "mine"


async def test_a_job_knows_its_run(served: Queue) -> None:
    handle = await served.dispatch(Facts())
    facts = await handle.result(timeout=10)
    assert facts == [handle.job_id, handle.dispatch_id, served.name, 0, "running", facts[5], None]
    assert facts[5] > 0


async def test_a_failing_job_is_retried_and_then_fails(served: Queue) -> None:
    once, always = await served.dispatch_many([Fails(1), Fails(9)])
    assert await once.result(timeout=10) == "ValueError: run 0"
    with pytest.raises(JobFailedError, match="ValueError: run 1") as caught:
        await always.result(timeout=10)
    assert caught.value.traceback is not None
    assert "in execute" in caught.value.traceback
    assert (await always.info()).retries == 1
    again = await served.dispatch(Fails(9), max_retries=0)
    with pytest.raises(JobFailedError, match="run 0"):
        await again.result(timeout=10)


async def test_a_running_job_is_cancelled(served: Queue) -> None:
    handle = await served.dispatch(Waits())
    await eventually(lambda: is_running(served))
    assert await handle.cancel()
    with pytest.raises(JobCancelledError):
        await handle.result(timeout=10)
    assert (await served.dispatch(Anything(1))).queue == served.name


async def is_running(queue: Queue) -> bool:
    return (await queue.counts())[JobStatus.RUNNING] == 1


async def test_running_jobs_may_dispatch_while_their_queue_drains(served: Queue) -> None:
    await served.pause()
    await served.dispatch(Chain(3))
    await served.dispatch(ChainInThread())
    await served.resume()
    await served.transport.gate(served.name, draining=True)
    await served.drain(timeout=20)
    counts = await served.counts()
    assert counts == {**dict.fromkeys(JobStatus, 0), JobStatus.COMPLETED: 6}
    with pytest.raises(QueueDrainingError):
        await served.dispatch(Chain(1))


async def test_arguments_of_another_program_that_do_not_fit_fail_the_job(served: Queue) -> None:
    from heracles.model import Envelope

    wrong = Envelope(job_id="j1", dispatch_id="d1", name="queue-letter", args=b"[3]")
    await served.transport.enqueue(served.name, [wrong])
    info = await eventually(lambda: failed(served, "d1"))
    assert "'to'" in info.error
    assert info.retries == 0
    assert info.args == [3]


async def failed(queue: Queue, dispatch_id: str) -> Any:
    info = await queue.get_job(dispatch_id)
    return info if info is not None and info.status is JobStatus.FAILED else None
