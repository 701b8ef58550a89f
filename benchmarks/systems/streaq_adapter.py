"""streaQ.

https://streaq.readthedocs.io/en/latest/worker.html: uvloop, prefetch as large as the concurrency (the default), no line
a task (``silent``), results kept for no longer than they must.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from streaq import Worker  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks import jobs
from benchmarks.role import Role
from benchmarks.systems import become

_role = Role.current()
worker = Worker(
    redis_url=_role.url,
    queue_name="bench",
    concurrency=_role.concurrency,
    idle_timeout=_role.recovery_s or 60,
    anyio_kwargs={"use_uvloop": True},
)
TASKS: dict[str, Any] = {
    name: worker.task(name=name, silent=True, ttl=0)(body)
    for name, body in {**jobs.COROUTINES, "threaded": jobs.noop_in_thread}.items()
}


class Producer:
    async def open(self) -> None:
        await worker.__aenter__()

    async def dispatch(self, job: str, argument: str) -> None:
        await TASKS[job].enqueue(argument)

    async def dispatch_many(self, job: str, arguments: Sequence[str]) -> None:
        await worker.enqueue_many([TASKS[job].enqueue(argument) for argument in arguments])

    async def dispatch_later(self, job: str, argument: str, delay_s: float) -> None:
        await TASKS[job].enqueue(argument).start(delay=timedelta(seconds=delay_s))

    async def close(self) -> None:
        await worker.__aexit__(None, None, None)


def producer(role: Role) -> Producer:
    return Producer()


def work(role: Role) -> None:
    become("streaq", "run", f"{__name__}:worker")
