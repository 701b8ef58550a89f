"""A fresh queue for each test, and a hand that plays the worker by the transport's verbs."""

import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from heracles.codec import encode_result
from heracles.model import Delivery, Report, ReportKind, Session
from heracles.queue import Queue
from heracles.sqlite import SqliteTransport
from heracles.transport import Transport
from tests.waiting import eventually

_numbers = itertools.count(1)


class Hand:
    """Takes jobs and says how they ended, when the test says so."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.session = Session(worker_id="hand", consumer=f"hand-{next(_numbers)}")

    async def take(self, slots: int = 1) -> Sequence[Delivery]:
        """Start as many jobs as are asked for, waiting for them."""
        taken: list[Delivery] = []

        async def enough() -> bool:
            missing = slots - len(taken)
            taken.extend((await self.queue.transport.exchange(self.queue.name, self.session, [], missing)).started)
            return len(taken) == slots

        await eventually(enough, what=f"{slots} jobs to start")
        return taken

    async def report(self, delivery: Delivery, kind: ReportKind, **more: Any) -> None:
        """Say how it ended."""
        report = Report(
            job_id=delivery.envelope.job_id,
            dispatch_id=delivery.envelope.dispatch_id,
            token=delivery.token,
            receipt=delivery.receipt,
            name=delivery.envelope.name,
            kind=kind,
            **more,
        )
        await self.queue.transport.exchange(self.queue.name, self.session, [report], 0)

    async def complete(self, delivery: Delivery, result: Any = None) -> None:
        """It returned that."""
        await self.report(delivery, ReportKind.COMPLETED, result=encode_result(result, 1 << 20))

    async def complete_all(self, count: int = 1, result: Any = None) -> None:
        """Take and complete that many."""
        for delivery in await self.take(count):
            await self.complete(delivery, result)

    async def fail(self, delivery: Delivery, error: str = "ValueError: no", traceback: str | None = None) -> None:
        """It failed for good."""
        await self.report(delivery, ReportKind.FAILED, error=error, traceback=traceback)


@pytest.fixture(autouse=True)
def _no_queue_is_left() -> Iterator[None]:
    before = set(Queue.get_all())
    yield
    for name in set(Queue.get_all()) - before:
        Queue.remove(name)


def fresh_name() -> str:
    return f"queue-{next(_numbers)}"


@pytest.fixture
def queue(transport: Transport) -> Queue:
    """A queue on each kind of store."""
    return Queue.get(fresh_name(), transport=transport)


@pytest.fixture
def hand(queue: Queue) -> Hand:
    """Takes the jobs of ``queue``."""
    return Hand(queue)


@pytest.fixture
async def memory() -> AsyncIterator[Transport]:
    """One store in memory, for what does not depend on the store."""
    transport = SqliteTransport(":memory:")
    yield transport
    await transport.close()


@pytest.fixture
def local(memory: Transport) -> Queue:
    """A queue in memory."""
    return Queue.get(fresh_name(), transport=memory)
