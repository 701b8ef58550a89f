"""Docket (pydocket on PyPI).

https://docket.lol: the worker by its Python interface, where an execution's record can be dropped as it ends
(``execution_ttl=0``). A worker whose slots are full looks again after ``minimum_check_interval`` (250 ms by default),
so that is set for speed, at the cost of an idle worker that polls. uvloop runs both ends.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import uvloop
from docket import Docket, Worker  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks import jobs
from benchmarks.role import Role

#: Redis-py's own limit is 100, and each running task takes connections.
MAX_CONNECTIONS = 1000


def _docket(role: Role) -> Docket:
    docket = Docket(name="bench", url=f"{role.url}?max_connections={MAX_CONNECTIONS}", execution_ttl=timedelta(0))
    for name, body in jobs.COROUTINES.items():
        docket.register(body, names=[name])
    return docket


class Producer:
    def __init__(self, role: Role) -> None:
        self._docket = _docket(role)

    async def open(self) -> None:
        await self._docket.__aenter__()

    async def dispatch(self, job: str, argument: str) -> None:
        await self._docket.add(job)(argument)

    async def dispatch_many(self, job: str, arguments: Sequence[str]) -> None:
        await self._docket.add_many([self._docket.call(job)(argument) for argument in arguments])

    async def dispatch_later(self, job: str, argument: str, delay_s: float) -> None:
        await self._docket.add(job, when=datetime.now(UTC) + timedelta(seconds=delay_s))(argument)

    async def close(self) -> None:
        await self._docket.__aexit__(None, None, None)


def producer(role: Role) -> Producer:
    return Producer(role)


async def _serve(role: Role) -> None:
    redelivery = timedelta(seconds=role.recovery_s or 300)
    async with (
        _docket(role) as docket,
        Worker(
            docket,
            name=role.worker,
            concurrency=role.concurrency,
            redelivery_timeout=redelivery,
            minimum_check_interval=timedelta(milliseconds=5),
            scheduling_resolution=timedelta(milliseconds=50),
        ) as worker,
    ):
        await worker.run_forever()


def work(role: Role) -> None:
    logging.basicConfig(level=logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(role))
