"""Taskiq on the Redis Streams broker of taskiq-redis, the one of its brokers that acknowledges.

https://taskiq-python.github.io/guide/cli.html: one worker process, no parsing of arguments by pydantic, uvloop where
installed. https://github.com/taskiq-python/taskiq-redis: read 100 entries at once (the default), no result backend.
Scheduled tasks need a scheduler process besides, so they are not measured.
"""

import asyncio
from collections.abc import Sequence

from taskiq_redis import RedisStreamBroker  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks import jobs
from benchmarks.role import Role
from benchmarks.systems import become

_role = Role.current()
broker = RedisStreamBroker(
    url=_role.url,
    queue_name="bench",
    # The group is made by whoever comes first, and starts with the first entry.
    consumer_id="0",
    # A pool without a bound opens a connection for each of 1000 dispatches.
    max_connection_pool_size=64,
    idle_timeout=_role.recovery_s * 1000 or 600_000,
    # Without it a worker that is killed at the wrong moment leaves a lock that keeps all others from claiming.
    unacknowledged_lock_timeout=10,
)
TASKS = {
    name: broker.register_task(body, task_name=name)
    for name, body in {**jobs.COROUTINES, "threaded": jobs.noop_in_thread}.items()
}


class Producer:
    async def open(self) -> None:
        await broker.startup()

    async def dispatch(self, job: str, argument: str) -> None:
        await TASKS[job].kiq(argument)

    async def dispatch_many(self, job: str, arguments: Sequence[str]) -> None:
        # There is no call for many.
        await asyncio.gather(*(TASKS[job].kiq(argument) for argument in arguments))

    async def dispatch_later(self, job: str, argument: str, delay_s: float) -> None:
        raise NotImplementedError("taskiq schedules in a process of its own")

    async def close(self) -> None:
        await broker.shutdown()


def producer(role: Role) -> Producer:
    return Producer()


def work(role: Role) -> None:
    become(
        "taskiq",
        "worker",
        f"{__name__}:broker",
        "--workers=1",
        f"--max-async-tasks={role.concurrency}",
        f"--max-prefetch={role.concurrency}",
        f"--max-threadpool-threads={role.concurrency}",
        "--no-parse",
        "--log-level=WARNING",
    )
