"""No job queue at all: one stream, one consumer group, XADD in a script and XACK. What this machine could do at best.

It keeps no status, no result and no lease, and knows no priority, no pause, no cancelling and no retry.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import uvloop
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from benchmarks import jobs
from benchmarks.role import Role

STREAM, GROUP = "bench", "workers"
READ = 250
#: redis-py gives up on a reply after 5 s.
BLOCK_MS = 4000
#: One entry an argument after the first, which is the job's name.
ADD = """
for i = 2, #ARGV do redis.call('XADD', KEYS[1], '*', 'j', ARGV[1], 'a', ARGV[i]) end
return #ARGV - 1
"""


class Producer:
    def __init__(self, role: Role) -> None:
        self._redis: Any = Redis.from_url(role.url)
        self._add = self._redis.register_script(ADD)
        self._waiting: list[str] = []
        self._flush: asyncio.Future[None] | None = None

    async def open(self) -> None:
        await self._redis.ping()

    async def dispatch(self, job: str, argument: str) -> None:
        """Joins what is dispatched at once into one script call."""
        self._waiting.append(argument)
        if self._flush is None:
            self._flush = asyncio.ensure_future(self._send(job))
        await asyncio.shield(self._flush)

    async def _send(self, job: str) -> None:
        # All tasks that are ready run before this one goes on.
        await asyncio.sleep(0)
        arguments, self._waiting, self._flush = self._waiting, [], None
        await self._add(keys=[STREAM], args=[job, *arguments])

    async def dispatch_many(self, job: str, arguments: Sequence[str]) -> None:
        for first in range(0, len(arguments), READ):
            await self._add(keys=[STREAM], args=[job, *arguments[first : first + READ]])

    async def dispatch_later(self, job: str, argument: str, delay_s: float) -> None:
        raise NotImplementedError("a stream schedules nothing")

    async def close(self) -> None:
        await self._redis.aclose()


def producer(role: Role) -> Producer:
    return Producer(role)


async def _serve(role: Role) -> None:
    redis: Any = Redis.from_url(role.url)
    # The group is made by whoever comes first.
    with contextlib.suppress(ResponseError):
        await redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    while True:
        answer = await redis.xreadgroup(GROUP, role.worker, {STREAM: ">"}, count=READ, block=BLOCK_MS)
        for entries in _entries(answer):
            for _, fields in entries:
                await jobs.COROUTINES[fields[b"j"].decode()](fields[b"a"].decode())
            await redis.xack(STREAM, GROUP, *(entry_id for entry_id, _ in entries))


def _entries(answer: Any) -> list[Any]:
    # By protocol 2 a list of pairs, by protocol 3 a mapping to a list of lists.
    if isinstance(answer, dict):
        return [entries for batches in answer.values() for entries in batches]
    return [entries for _, entries in answer or []]


def work(role: Role) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(role))
