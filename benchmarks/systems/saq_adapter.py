"""SAQ on Redis.

https://saq-py.readthedocs.io: hiredis; no record is kept of a completed job (``ttl=-1``), no time-out is watched
(``timeout=0``). uvloop by its policy, which the command line takes up.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvloop
from saq import Queue  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks import jobs
from benchmarks.role import Role
from benchmarks.systems import become

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
_role = Role.current()
queue = Queue.from_url(_role.url, name="bench")
#: With a time-out a job whose worker died is swept up once that has passed.
OPTIONS = {"timeout": _role.recovery_s, "retries": 5} if _role.recovery_s else {"timeout": 0, "ttl": -1}


def _task(body: Callable[[str], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def run(context: dict[str, Any], *, argument: str) -> None:
        await body(argument)

    return run


def _in_thread(context: dict[str, Any], *, argument: str) -> None:
    jobs.noop_in_thread(argument)


settings = {
    "queue": queue,
    "functions": [("threaded", _in_thread), *((name, _task(body)) for name, body in jobs.COROUTINES.items())],
    "concurrency": _role.concurrency,
    "timers": {"sweep": 2} if _role.recovery_s else {},
}


class Producer:
    async def open(self) -> None:
        await queue.connect()

    async def dispatch(self, job: str, argument: str) -> None:
        await queue.enqueue(job, argument=argument, **OPTIONS)

    async def dispatch_many(self, job: str, arguments: Sequence[str]) -> None:
        # There is no call for many that does not wait for the results.
        await asyncio.gather(*(self.dispatch(job, argument) for argument in arguments))

    async def dispatch_later(self, job: str, argument: str, delay_s: float) -> None:
        await queue.enqueue(job, argument=argument, scheduled=time.time() + delay_s, **OPTIONS)

    async def close(self) -> None:
        await queue.disconnect()


def producer(role: Role) -> Producer:
    return Producer()


def work(role: Role) -> None:
    become("saq", f"{__name__}.settings", "--quiet")
