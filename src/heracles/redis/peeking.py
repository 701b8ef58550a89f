"""Looks, while a worker is busy and reads no entries, for the wish of another program that all jobs be cancelled."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence

from heracles.errors import HeraclesError
from heracles.redis.entries import text_of
from heracles.redis.store import Store

logger = logging.getLogger("heracles.redis")

#: Given the queue and the id of the entry that wishes it.
CancelAll = Callable[[str, str], Awaitable[None]]


class Peeking:
    """For the queues of one worker. One that is free reads such an entry as it comes; here it would wait for a slot.

    The entry stays to be read in its turn, which cancels nothing more: nobody has to agree on who has heeded it.
    """

    def __init__(self, store: Store, queues: Sequence[str], cancel_all: CancelAll) -> None:
        self._store, self._queues, self._cancel_all = store, tuple(queues), cancel_all
        self._wanted: Collection[str] = self._queues
        self._is_busy = asyncio.Event()
        #: By queue: the newest entry that was looked at.
        self._seen: dict[str, str] = {}

    def want(self, queues: Collection[str]) -> None:
        """These read entries by themselves from now on."""
        self._wanted = queues
        if len(queues) < len(self._queues):
            self._is_busy.set()
        else:
            self._is_busy.clear()

    async def run(self) -> None:
        """Until cancelled: a look an interval at each queue that is busy then."""
        interval_s = self._store.settings.poll_interval_ms / 1000
        while True:
            await self._is_busy.wait()
            await asyncio.sleep(interval_s * random.uniform(0.5, 1.0))
            for queue in self._queues:
                if queue not in self._wanted:
                    await self._look(queue)

    async def _look(self, queue: str) -> None:
        try:
            newest, wish = map(text_of, await self._store.run("peek", queue, self._seen.get(queue, "")))
            if wish:
                await self._cancel_all(queue, wish)
        except HeraclesError as error:
            # The worker's own calls tell of outages. The next look is for the same entries.
            logger.debug("queue %s: its newest entries are looked at later: %s", queue, error)
        else:
            self._seen[queue] = newest
