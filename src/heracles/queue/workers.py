"""Who works, and on what."""

from collections import defaultdict

import msgspec

from heracles.model import JobStatus, WorkerInfo
from heracles.transport import Transport

#: Running jobs of one queue that are told of, at most.
MOST_RUNNING = 10_000


async def live_workers(transport: Transport, queue: str | None = None) -> list[WorkerInfo]:
    """The live workers of a store, or those that serve that queue, by id, with what they run now.

    That is read from the records of the jobs: what a worker has said itself is as old as its last heartbeat.
    """
    workers = [worker for worker in await transport.workers() if queue is None or queue in worker.queues]
    running: defaultdict[str | None, list[str]] = defaultdict(list)
    for name in sorted({name for worker in workers for name in worker.queues}):
        for record in await transport.page(name, JobStatus.RUNNING, MOST_RUNNING):
            running[record.worker].append(record.dispatch_id)
    return [msgspec.structs.replace(worker, running=tuple(running[worker.id])) for worker in workers]
