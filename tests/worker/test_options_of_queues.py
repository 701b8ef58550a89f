"""Queues on one store whose transports have other options: one worker, one record, each queue by its own options."""

import asyncio
from collections.abc import Iterator

import pytest

from heracles.errors import JobFailedError
from heracles.queue import Queue
from heracles.worker import Worker
from tests.conftest import MakeTransport
from tests.stores import Store
from tests.worker.jobs import BOARD, Gate, Note


@pytest.fixture
def queues(shared_store: Store, make_transport: MakeTransport) -> Iterator[tuple[Queue, Queue]]:
    BOARD.clear()
    brief = Queue.get("brief", transport=make_transport(lease=600, max_result_bytes=20))
    plain = Queue.get("plain", transport=make_transport())
    yield brief, plain
    Queue.remove("brief")
    Queue.remove("plain")


async def test_the_shortest_lease_is_kept_and_each_option_is_the_queues_own(queues: tuple[Queue, Queue]) -> None:
    brief, plain = queues
    async with Worker(id="both") as worker:
        for queue in (plain, brief):
            await worker.create_queue(name=queue.name)
        held = [await queue.dispatch(Gate(queue.name)) for queue in queues]
        await asyncio.sleep(1.5)
        [record] = await plain.workers()
        assert set(record.queues) == {"brief", "plain"}
        assert set(record.running) == {handle.dispatch_id for handle in held}
        BOARD.open_all()
        for handle in held:
            await handle.result(timeout=10)
            found = await queue_of(handle.queue, queues).transport.find(handle.queue, handle.dispatch_id)
            assert found is not None
            assert found.token == 1, "its lease ran out"
        assert await (await plain.dispatch(Note("x" * 30))).result(timeout=10) == "x" * 30
        refused = await brief.dispatch(Note("x" * 30))
        with pytest.raises(JobFailedError, match="max_result_bytes"):
            await refused.result(timeout=10)


def queue_of(name: str, queues: tuple[Queue, Queue]) -> Queue:
    return next(queue for queue in queues if queue.name == name)
