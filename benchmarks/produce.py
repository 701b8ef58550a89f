"""The producer process: ``python -m benchmarks.produce SYSTEM HOW JOB``; prints one JSON object.

``one``: each dispatch is awaited before the next. ``together``: from 100 tasks at once, or from 100 threads
where the system has no async client. ``bulk``: with the call for many. ``spaced``: one now and then, stamped, to an
idle worker. ``burst``: all stamped with one time, a call for each queue. ``later``: stamped with the time for which
they are scheduled.
"""

import argparse
import asyncio
import json
import random
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.jobs import ARGUMENT_BYTES, plain_argument, stamped_argument
from benchmarks.role import Role
from benchmarks.systems import AsyncProducer, SyncProducer, adapter

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]  # not every system's environment has it

TASKS = 100
BULK = 1000
#: Dispatched before the clock starts, to connect and to load scripts.
WARM_UP = 100
#: Between dispatches to an idle worker, so that it is idle again; with jitter, so that no timer falls in step.
PAUSE_S = 0.008
#: Before a burst, so that the worker is idle again.
BURST_PAUSE_S = 0.2
#: From the dispatch of a scheduled job to its time.
LATER_S = 1.5
LATER_STEP_S = 0.02


@dataclass(frozen=True)
class Order:
    """What is to be dispatched: up to ``count`` jobs, or as many as go into ``seconds``."""

    how: str
    job: str
    count: int
    seconds: float
    argument_bytes: int = ARGUMENT_BYTES
    queues: int = 1


class Progress:
    """Hands out the arguments of the jobs still to dispatch, to any number of tasks or threads."""

    def __init__(self, order: Order) -> None:
        self.started = time.perf_counter()
        self._end = self.started + order.seconds
        self._count = order.count
        self._size = order.argument_bytes
        self.dispatched = 0

    def take(self, most: int = 1) -> list[str]:
        """The next arguments; none when it is enough."""
        if time.perf_counter() >= self._end:
            return []
        first = self.dispatched
        self.dispatched = min(first + most, self._count)
        return [plain_argument(index, self._size) for index in range(first, self.dispatched)]

    def result(self) -> dict[str, Any]:
        """How many in how many seconds."""
        return {"dispatched": self.dispatched, "elapsed_s": time.perf_counter() - self.started}


# ------------------------------------------------------------------------------------------------- without blocking


async def _loop(producer: AsyncProducer, job: str, progress: Progress) -> None:
    while taken := progress.take():
        await producer.dispatch(job, taken[0])


async def _together(producer: AsyncProducer, job: str, progress: Progress) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(_loop(producer, job, progress))


async def _bulk(producer: AsyncProducer, job: str, progress: Progress) -> None:
    while taken := progress.take(BULK):
        await producer.dispatch_many(job, taken)


async def _spaced(dispatch: Callable[[str, str], Awaitable[None]], order: Order) -> dict[str, Any]:
    calls = []
    for index in range(order.count):
        await asyncio.sleep(PAUSE_S * random.uniform(0.5, 1.5))
        before = time.monotonic_ns()
        await dispatch(order.job, stamped_argument(index, before))
        calls.append(time.monotonic_ns() - before)
    return {"dispatched": order.count, "call_ms": quantiles(calls)}


async def _burst(producer: AsyncProducer, order: Order) -> dict[str, Any]:
    # One before it connects, so that the burst does not wait for that.
    await producer.dispatch("noop", plain_argument(0))
    await asyncio.sleep(BURST_PAUSE_S)
    for chunk in _stamped_at_once(order):
        await producer.dispatch_many(order.job, chunk)
    return {"dispatched": order.count}


async def _later(producer: AsyncProducer, order: Order) -> dict[str, Any]:
    for index in range(order.count):
        delay_s = LATER_S + index * LATER_STEP_S
        await producer.dispatch_later(order.job, stamped_argument(index, _due_ns(delay_s)), delay_s)
    return {"dispatched": order.count}


async def produce(producer: AsyncProducer, order: Order) -> dict[str, Any]:
    """Carry out an order with an async client."""
    await producer.open()
    try:
        if order.how == "spaced":
            return await _spaced(producer.dispatch, order)
        if order.how == "later":
            return await _later(producer, order)
        if order.how == "burst":
            return await _burst(producer, order)
        drive = {"one": _loop, "together": _together, "bulk": _bulk}[order.how]
        if order.seconds < float("inf"):
            await drive(producer, order.job, Progress(Order(order.how, order.job, WARM_UP, 60.0)))
        progress = Progress(order)
        await drive(producer, order.job, progress)
        return progress.result()
    finally:
        await producer.close()


# ---------------------------------------------------------------------------------------------------- with blocking


def _loop_blocking(producer: SyncProducer, job: str, progress: Progress) -> None:
    while taken := progress.take():
        producer.dispatch(job, taken[0])


def _together_blocking(producer: SyncProducer, job: str, progress: Progress) -> None:
    threads = [threading.Thread(target=_loop_blocking, args=(producer, job, progress)) for _ in range(TASKS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _bulk_blocking(producer: SyncProducer, job: str, progress: Progress) -> None:
    while taken := progress.take(BULK):
        producer.dispatch_many(job, taken)


def _spaced_blocking(dispatch: Callable[[str, str], None], order: Order) -> dict[str, Any]:
    calls = []
    for index in range(order.count):
        time.sleep(PAUSE_S * random.uniform(0.5, 1.5))
        before = time.monotonic_ns()
        dispatch(order.job, stamped_argument(index, before))
        calls.append(time.monotonic_ns() - before)
    return {"dispatched": order.count, "call_ms": quantiles(calls)}


def _later_blocking(producer: SyncProducer, order: Order) -> dict[str, Any]:
    for index in range(order.count):
        delay_s = LATER_S + index * LATER_STEP_S
        producer.dispatch_later(order.job, stamped_argument(index, _due_ns(delay_s)), delay_s)
    return {"dispatched": order.count}


def _burst_blocking(producer: SyncProducer, order: Order) -> dict[str, Any]:
    producer.dispatch("noop", plain_argument(0))
    time.sleep(BURST_PAUSE_S)
    for chunk in _stamped_at_once(order):
        producer.dispatch_many(order.job, chunk)
    return {"dispatched": order.count}


def produce_blocking(producer: SyncProducer, order: Order) -> dict[str, Any]:
    """Carry out an order with a client that blocks."""
    if order.how == "spaced":
        return _spaced_blocking(producer.dispatch, order)
    if order.how == "later":
        return _later_blocking(producer, order)
    if order.how == "burst":
        return _burst_blocking(producer, order)
    drive = {"one": _loop_blocking, "together": _together_blocking, "bulk": _bulk_blocking}[order.how]
    if order.seconds < float("inf"):
        drive(producer, order.job, Progress(Order(order.how, order.job, WARM_UP, 60.0)))
    progress = Progress(order)
    drive(producer, order.job, progress)
    return progress.result()


# ------------------------------------------------------------------------------------------------------------- both


def _due_ns(delay_s: float) -> int:
    return time.monotonic_ns() + round(delay_s * 1e9)


def _stamped_at_once(order: Order) -> list[list[str]]:
    now = time.monotonic_ns()
    arguments = [stamped_argument(index, now) for index in range(order.count)]
    share = -(-order.count // order.queues)
    return [arguments[first : first + share] for first in range(0, order.count, share)]


def quantiles(nanoseconds: list[int]) -> dict[str, float]:
    """Milliseconds."""
    cuts = statistics.quantiles(nanoseconds, n=100, method="inclusive")
    return {"p50": cuts[49] / 1e6, "p99": cuts[98] / 1e6}


def main() -> None:
    """Read the order from the command line and the role from the environment."""
    parser = argparse.ArgumentParser(prog="benchmarks.produce")
    parser.add_argument("system")
    parser.add_argument("how", choices=("one", "together", "bulk", "spaced", "burst", "later"))
    parser.add_argument("job")
    parser.add_argument("--count", type=int, default=2**62)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    given = parser.parse_args()
    role = Role.current()
    order = Order(given.how, given.job, given.count, given.seconds, role.argument_bytes, role.queues)
    producer = adapter(given.system).producer(role)
    if isinstance(producer, SyncProducer):
        result = produce_blocking(producer, order)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
            result = runner.run(produce(producer, order))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
