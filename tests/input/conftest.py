"""A queue with a worker on it, in this process."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from heracles import Queue, SqliteTransport, Worker
from heracles.transport import Transport
from tests.input.jobs import SEEN, double

QUEUE = "input"

Serving = Callable[[], AbstractAsyncContextManager[Worker]]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = set(Queue.get_all())
    yield
    SEEN.clear()
    for name in set(Queue.get_all()) - before:
        Queue.remove(name)


@pytest.fixture
def queue(transport: Transport) -> Queue:
    """On each kind of store."""
    return Queue.get(QUEUE, transport=transport)


@pytest.fixture
async def local() -> AsyncIterator[Queue]:
    """In memory, for what does not depend on the store."""
    store = SqliteTransport(":memory:")
    yield Queue.get("local", transport=store)
    await store.close()


@pytest.fixture
def serving(transport: Transport) -> Serving:
    """A worker on the queue, while the block runs."""

    @asynccontextmanager
    async def serve() -> AsyncIterator[Worker]:
        async with Worker(id="worker-1", transport=transport) as worker:
            await worker.create_queue(name=QUEUE, concurrency=4, max_retries=0)
            await worker.start()
            yield worker

    return serve


def refusal_of(call: Callable[[], object], error: type[Exception]) -> str | None:
    """The text of the error that the call raises; None where it raises none. Any other error comes through."""
    try:
        call()
    except error as raised:
        return str(raised)
    return None


async def the_next_job_runs(queue: Queue, **options: Any) -> None:
    """What the worker may be asked for at any time."""
    assert await (await queue.dispatch(double, [21], **options)).result(timeout=30) == 42
