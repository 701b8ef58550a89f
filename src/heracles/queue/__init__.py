"""Queues: where jobs are dispatched to, watched and controlled.

- ``settings``: what a queue was given, and its transport,
- ``client``: calls of the transport, repeated while the store is away; what belongs to one event loop,
- ``envelopes``: a job and its options become an ``Envelope``, with every error before anything is stored,
- ``watcher``: who waits for a job is told of its end,
- ``handle``: one dispatch, awaited or in the sync form,
- ``calls``, ``queue``, ``sync``: the methods of a queue, the registry of queues, the methods without await.
"""

from heracles.queue.envelopes import DispatchOptions
from heracles.queue.handle import JobHandle, SyncJobHandle
from heracles.queue.queue import Queue, dispatch
from heracles.queue.sync import SyncQueue

__all__ = ["DispatchOptions", "JobHandle", "Queue", "SyncJobHandle", "SyncQueue", "dispatch"]
