"""BullMQ, its Python port.

https://docs.bullmq.io/python/introduction: workers run one coroutine function; https://docs.bullmq.io/guide/queues/auto-removal-of-jobs:
completed jobs are removed.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import uvloop
from bullmq import Queue, Worker  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks import jobs
from benchmarks.role import Role

OPTIONS = {"removeOnComplete": True}


class Producer:
    def __init__(self, role: Role) -> None:
        self._url = role.url
        self._queue: Any = None

    async def open(self) -> None:
        self._queue = Queue("bench", {"connection": self._url})

    async def dispatch(self, job: str, argument: str) -> None:
        await self._queue.add(job, {"argument": argument}, OPTIONS)

    async def dispatch_many(self, job: str, arguments: Sequence[str]) -> None:
        await self._queue.addBulk(
            [{"name": job, "data": {"argument": argument}, "opts": OPTIONS} for argument in arguments]
        )

    async def dispatch_later(self, job: str, argument: str, delay_s: float) -> None:
        await self._queue.add(job, {"argument": argument}, {**OPTIONS, "delay": round(delay_s * 1000)})

    async def close(self) -> None:
        await self._queue.close()


def producer(role: Role) -> Producer:
    return Producer(role)


async def _process(job: Any, token: str) -> None:
    await jobs.COROUTINES[job.name](job.data["argument"])


async def _serve(role: Role) -> None:
    recovery = {"lockDuration": role.recovery_s * 1000, "stalledInterval": 2000} if role.recovery_s else {}
    Worker("bench", _process, {"connection": role.url, "concurrency": role.concurrency, **recovery})
    await asyncio.Event().wait()


def work(role: Role) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(role))
