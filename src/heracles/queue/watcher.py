"""Tells waiting handles that their job has ended."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress

from heracles.errors import TransportError
from heracles.model import Change

logger = logging.getLogger("heracles.queue")

#: Seconds until another attempt after the store was away too long, or refused.
PAUSE_S = 5.0
#: Seconds that a new waiter gives the watcher to begin before it reads without it.
SUBSCRIBE_S = 2.0


class Watcher:
    """Follows the changes of one queue on one event loop, while anybody waits, for all who wait.

    What it tells is a hint: who waits reads the record, and looks again by itself now and then.
    """

    def __init__(self, queue: str, follow: Callable[[], AsyncGenerator[Sequence[Change], None]]) -> None:
        self._queue = queue
        self._changes = follow
        self._hints: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._following: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()

    @asynccontextmanager
    async def watching(self, dispatch_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the job may have ended after the block was entered."""
        hint = asyncio.Event()
        self._hints[dispatch_id].add(hint)
        try:
            await self._follow_from_now()
            yield hint
        finally:
            self._hints[dispatch_id].discard(hint)
            if not self._hints[dispatch_id]:
                del self._hints[dispatch_id]
            if not self._hints:
                await self._stop()

    async def _follow_from_now(self) -> None:
        if self._following is None:
            self._subscribed.clear()
            self._following = asyncio.create_task(self._follow())
        if not self._subscribed.is_set():
            # Late is no harm: every hint is set once it has subscribed.
            with suppress(TimeoutError):
                async with asyncio.timeout(SUBSCRIBE_S):
                    await self._subscribed.wait()

    async def _stop(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            # Not left behind: an event loop that closes would complain of it.
            await asyncio.wait([following])

    async def _follow(self) -> None:
        while True:
            try:
                await self._tell_changes()
            except TransportError as exc:
                logger.warning("cannot follow queue %s; its jobs are looked at now and then: %s", self._queue, exc)
            await asyncio.sleep(PAUSE_S)

    async def _tell_changes(self) -> None:
        async with aclosing(self._changes()) as batches:
            # The first batch says that it has begun: what ended before is found by looking.
            await anext(batches)
            self._subscribed.set()
            self._tell_all()
            async for batch in batches:
                for change in batch:
                    self._tell(change)

    def _tell(self, change: Change) -> None:
        if change.status is None:
            self._tell_all()
        elif change.status.is_final and change.dispatch_id in self._hints:
            for hint in self._hints[change.dispatch_id]:
                hint.set()

    def _tell_all(self) -> None:
        for hints in self._hints.values():
            for hint in hints:
                hint.set()
