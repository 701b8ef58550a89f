"""One queue's calls of its transport."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from heracles.batching import Coalescer
from heracles.model import Change, Envelope, Record, Stored
from heracles.queue.follow import follow
from heracles.queue.repeat import Repeater
from heracles.queue.settings import QueueSettings
from heracles.queue.watcher import Watcher
from heracles.transport import Transport

T = TypeVar("T")

#: Dispatches in one call of the transport. A call has a time limit, which no number of jobs may outgrow.
MOST_AT_ONCE = 1000
#: Single dispatches that wait for the call under way to end. A caller beyond them waits before it adds its own.
LONGEST_BACKLOG = 10_000
#: Calls under way at once, beside dispatches. Tens of thousands of handles that wait would else ask in one moment, and
#: their own number would keep the answers away for longer than a store takes to count as away.
MOST_CALLS = 500


class QueueClient:
    """Repeats calls while the store is away, joins dispatches, and keeps for each event loop what belongs to it."""

    def __init__(self, name: str, settings: QueueSettings) -> None:
        self.name = name
        self.settings = settings
        #: Looked up once: the transport stays the same.
        self._max_payload_bytes: int | None = None
        self._loops: dict[asyncio.AbstractEventLoop, _LoopPart] = {}

    @property
    def max_payload_bytes(self) -> int:
        """The transport's limit for one dispatch."""
        if self._max_payload_bytes is None:
            self._max_payload_bytes = self.settings.transport.settings.max_payload_bytes
        return self._max_payload_bytes

    async def call(self, verb: Callable[[Transport], Awaitable[T]]) -> T:
        """Call the transport, in turn; while the store is away, again and again for up to ``dispatch_timeout``."""
        part = self._here()
        async with part.calls:
            return await part.repeater.call(verb)

    async def find(self, id: str) -> Record | None:
        """The record of a dispatch, by dispatch id or job id."""
        return await self.call(lambda transport: transport.find(self.name, id))

    async def store(self, envelopes: Sequence[Envelope]) -> list[Stored]:
        """Dispatch these, one call after the other, one answer an item, in order."""
        answers: list[Stored] = []
        for start in range(0, len(envelopes), MOST_AT_ONCE):
            answers += await self._here().enqueue(envelopes[start : start + MOST_AT_ONCE])
        return answers

    def store_joined(self, envelope: Envelope) -> Awaitable[Stored]:
        """Dispatch this one, together with what other tasks of this event loop dispatch meanwhile."""
        # Not awaited here, for each level of awaiting costs every dispatch.
        return self._here().dispatches.submit(envelope)

    def follow(self) -> AsyncGenerator[Sequence[Change], None]:
        """The status changes from the first iteration on."""
        return follow(self.name, self._transport)

    @property
    def watcher(self) -> Watcher:
        """Tells of the ends of jobs, on this event loop."""
        return self._here().watcher

    def _transport(self) -> Transport:
        return self.settings.transport

    def _here(self) -> "_LoopPart":
        loop = asyncio.get_running_loop()
        part = self._loops.get(loop)
        if part is None:
            for closed in [known for known in list(self._loops) if known.is_closed()]:
                self._loops.pop(closed, None)
            part = self._loops[loop] = _LoopPart(self, self.settings.transport.overlaps_calls)
        return part


class _LoopPart:
    """What one event loop has for itself."""

    def __init__(self, client: QueueClient, overlaps: bool) -> None:
        self._queue = client.name
        self.repeater = Repeater(lambda: client.settings.transport)
        self.dispatches = Coalescer(self.enqueue, most=MOST_AT_ONCE, backlog=LONGEST_BACKLOG, overlaps=overlaps)
        self.watcher = Watcher(client.name, client.follow)
        self.calls = asyncio.Semaphore(MOST_CALLS)

    def enqueue(self, envelopes: Sequence[Envelope]) -> Coroutine[Any, Any, Sequence[Stored]]:
        """Dispatch these in one call of the transport, to be awaited."""
        return self.repeater.call(lambda transport: transport.enqueue(self._queue, envelopes))
