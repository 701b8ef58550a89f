"""Queues: where jobs are dispatched to, watched and controlled.

- ``settings``: what a queue was given, and its transport; ``serving``: whether this program's workers are there too,
- ``client``: calls of the transport, and what belongs to one event loop; ``repeat``: while the store is away,
- ``envelopes``: a job and its options become an ``Envelope``, with every error before anything is stored,
- ``follow``: the status changes; ``watcher``: who waits for a job is told of its end,
- ``handle``: one dispatch, awaited or in the sync form; ``info``, ``workers``: what the store knows, as users see it,
- ``calls``, ``queue``, ``sync``: the methods of a queue, the registry of queues, the methods without await.
"""

from heracles.queue.envelopes import DispatchOptions
from heracles.queue.handle import JobHandle, SyncJobHandle
from heracles.queue.queue import Queue, dispatch
from heracles.queue.sync import SyncQueue

__all__ = ["DispatchOptions", "JobHandle", "Queue", "SyncJobHandle", "SyncQueue", "dispatch"]
