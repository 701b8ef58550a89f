"""A store with workers on it, and what a test asks them."""

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

from heracles.model import Envelope, JobStatus, Record
from heracles.transport import Transport
from heracles.worker import Worker
from tests.waiting import eventually
from tests.worker.faults import FaultyTransport
from tests.worker.jobs import BOARD

QUEUE = "jobs"
#: A poll interval longer than any test waits: what starts all the same was not found by polling.
HARDLY_EVER_MS = 60_000


class Site:
    """Dispatches on one transport, and starts workers on it or on others of the same store."""

    def __init__(self, transport: Transport, make_transport: Callable[..., Transport]) -> None:
        self.transport = transport
        self.make_transport = make_transport
        self.workers: list[Worker] = []
        self._numbers = itertools.count(1)

    async def dispatch(self, name: str, *args: Any, queue: str = QUEUE, **fields: Any) -> str:
        """Its dispatch id."""
        number = next(self._numbers)
        given = {"job_id": f"job-{number}", "dispatch_id": f"dispatch-{number}", "args": json.dumps(args).encode()}
        envelope = Envelope(name=name, **{**given, **fields})
        await self.transport.enqueue(queue, [envelope])
        return envelope.dispatch_id

    async def worker(self, *queues: str, on: Transport | None = None, id: str | None = None, **options: Any) -> Worker:
        """A started worker; ``concurrency`` and the like are the queues', ``cap`` the worker's."""
        cap = options.pop("cap", None)
        worker = Worker(id=id or f"worker-{len(self.workers) + 1}", transport=on or self.transport, concurrency=cap)
        self.workers.append(worker)
        for queue in queues or (QUEUE,):
            await worker.create_queue(name=queue, **{"concurrency": 4, "retry_delay": 10, **options})
        await worker.start()
        return worker

    def faulty(self, **options: Any) -> FaultyTransport:
        """A transport on the same store whose calls can be made to fail."""
        return FaultyTransport(self.make_transport(**options))

    async def record(self, dispatch_id: str, queue: str = QUEUE) -> Record:
        found = await self.transport.find(queue, dispatch_id)
        assert found is not None
        return found

    async def until(self, dispatch_id: str, *statuses: JobStatus, queue: str = QUEUE) -> Record:
        """Its record, once it has one of these statuses; a final one by default."""

        async def look() -> Record | None:
            record = await self.record(dispatch_id, queue)
            return record if record.status in statuses or (not statuses and record.status.is_final) else None

        found = await eventually(look, what=f"{dispatch_id} is {statuses or 'final'}", interval_s=0.01)
        assert found is not None
        return found

    async def run(self, name: str, *args: Any, **fields: Any) -> Record:
        """Dispatch one and wait for its end."""
        return await self.until(await self.dispatch(name, *args, **fields))

    async def noted(self, *notes: Any) -> None:
        """Returns when jobs have noted all of these."""
        await eventually(lambda: all(note in BOARD.notes for note in notes), what=f"{notes} in {BOARD.notes}")

    async def counts(self, queue: str = QUEUE) -> dict[JobStatus, int]:
        """Those that are not zero."""
        overview = await self.transport.overview(queue)
        return {status: count for status, count in overview.counts.items() if count}

    async def close(self) -> None:
        """Let all jobs go and stop the workers."""
        BOARD.open_all()
        await asyncio.gather(*(worker.stop(force=True) for worker in self.workers))
