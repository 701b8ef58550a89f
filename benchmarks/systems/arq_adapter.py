"""arq.

https://arq-docs.helpmanual.io/#arq.worker.Worker: its throughput hangs on ``poll_delay`` (0.5 s by default) and
``queue_read_limit``, so both are set for speed, at the cost of an idle worker that polls; no results are kept. uvloop
by its policy, which the command line takes up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import uvloop
from arq import create_pool, func  # type: ignore[import-not-found]  # in an environment of its own
from arq.connections import RedisSettings  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks import jobs
from benchmarks.role import Role
from benchmarks.systems import become

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
_role = Role.current()


def _task(body: Callable[[str], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def run(context: dict[str, Any], argument: str) -> None:
        await body(argument)

    return run


class WorkerSettings:
    functions = [func(_task(body), name=name) for name, body in jobs.COROUTINES.items()]  # noqa: RUF012 - as documented
    redis_settings = RedisSettings.from_dsn(_role.url)
    max_jobs = _role.concurrency
    poll_delay = 0.005
    queue_read_limit = 1000
    keep_result = 0
    log_results = False
    job_timeout = _role.recovery_s or 300


class Producer:
    def __init__(self) -> None:
        self._pool: Any = None

    async def open(self) -> None:
        self._pool = await create_pool(WorkerSettings.redis_settings)

    async def dispatch(self, job: str, argument: str) -> None:
        await self._pool.enqueue_job(job, argument)

    async def dispatch_many(self, job: str, arguments: Sequence[str]) -> None:
        # There is no call for many.
        await asyncio.gather(*(self._pool.enqueue_job(job, argument) for argument in arguments))

    async def dispatch_later(self, job: str, argument: str, delay_s: float) -> None:
        await self._pool.enqueue_job(job, argument, _defer_by=timedelta(seconds=delay_s))

    async def close(self) -> None:
        await self._pool.aclose()


def producer(role: Role) -> Producer:
    return Producer()


def work(role: Role) -> None:
    become("arq", f"{__name__}.WorkerSettings", "--custom-log-dict", f"{__name__}.LOGGING")


#: No line a job.
LOGGING = {"version": 1, "loggers": {"arq": {"level": "WARNING"}}}
