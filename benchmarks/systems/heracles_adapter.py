"""Heracles, by its public interface and its command line."""

import asyncio
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks import jobs
from benchmarks.role import Role
from benchmarks.systems import become
from heracles import Job, JobOverlapBehavior, Queue

QUEUE = "bench"


class OneArgument(Job):
    """What all have in common."""

    def __init__(self, argument: str) -> None:
        self.argument = argument


@Job.register(name="noop", queue=QUEUE)
class Noop(OneArgument):
    async def execute(self) -> None:
        await jobs.noop(self.argument)


@Job.register(name="sleep", queue=QUEUE)
class Sleep(OneArgument):
    async def execute(self) -> None:
        await jobs.sleep(self.argument)


@Job.register(name="stamp", queue=QUEUE)
class Stamp(OneArgument):
    async def execute(self) -> None:
        await jobs.stamp(self.argument)


@Job.register(name="interval", queue=QUEUE)
class Interval(OneArgument):
    async def execute(self) -> None:
        await jobs.interval(self.argument)


@Job.register(name="hold", queue=QUEUE)
class Hold(OneArgument):
    async def execute(self) -> None:
        await jobs.hold(self.argument)


@Job.register(name="threaded", queue=QUEUE)
class Threaded(OneArgument):
    def execute(self) -> None:
        jobs.noop_in_thread(self.argument)


@Job.register(name="large", queue=QUEUE)
class Large(OneArgument):
    """Returns 1 MB."""

    async def execute(self) -> str:
        await jobs.noop(self.argument)
        return "x" * 1_000_000


@Job.register(name="tenth", queue=QUEUE)
class Tenth(OneArgument):
    """Returns when it ended, in monotonic nanoseconds."""

    async def execute(self) -> int:
        await asyncio.sleep(0.1)
        return time.monotonic_ns()


@Job.register(name="busy", queue=QUEUE, priority=0)
class Busy(OneArgument):
    async def execute(self) -> None:
        await jobs.busy(self.argument)


@Job.register(name="exclusive", queue=QUEUE, overlap_behavior=JobOverlapBehavior.NO_OVERLAP)
class Exclusive(OneArgument):
    """One of 1000 ids, which its argument begins with."""

    @classmethod
    def generate_job_id(cls, *args: Any, **kwargs: Any) -> str:
        return str(args[0])[:6]

    async def execute(self) -> None:
        await jobs.noop(self.argument)


JOBS: Mapping[str, type[OneArgument]] = {
    "noop": Noop,
    "sleep": Sleep,
    "stamp": Stamp,
    "interval": Interval,
    "hold": Hold,
    "threaded": Threaded,
    "large": Large,
    "tenth": Tenth,
    "busy": Busy,
    "exclusive": Exclusive,
}


def queue_names(count: int) -> list[str]:
    """One queue, or that many."""
    return [QUEUE] if count == 1 else [f"{QUEUE}.{number}" for number in range(count)]


class Producer:
    """Spreads its dispatches over the queues in turn."""

    def __init__(self, role: Role) -> None:
        os.environ["HERACLES_URL"] = role.url
        self._queues = itertools.cycle([Queue.get(name) for name in queue_names(role.queues)])

    async def open(self) -> None:
        """It connects at its first dispatch."""

    async def dispatch(self, job: str, argument: str) -> None:
        await next(self._queues).dispatch(JOBS[job](argument))

    async def dispatch_many(self, job: str, arguments: Sequence[str]) -> None:
        await next(self._queues).dispatch_many([JOBS[job](argument) for argument in arguments])

    async def dispatch_later(self, job: str, argument: str, delay_s: float) -> None:
        due = datetime.now(UTC) + timedelta(seconds=delay_s)
        await next(self._queues).dispatch(JOBS[job](argument), scheduled_for=due)

    async def close(self) -> None:
        """A process that has dispatched ends by itself."""


def producer(role: Role) -> Producer:
    return Producer(role)


def work(role: Role) -> None:
    become(
        "heracles",
        "work",
        f"--id={role.worker}",
        f"--queues={','.join(queue_names(role.queues))}",
        f"--concurrency={role.concurrency}",
        f"--processes={role.workers}",
        f"--url={role.url}",
        f"--app={__name__}",
        "--log-level=warning",
        *([f"--lease={role.recovery_s * 1000}"] if role.recovery_s else []),
    )
