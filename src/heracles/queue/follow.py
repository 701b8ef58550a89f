"""Follows the status changes of one queue."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence

from heracles.errors import TransportUnavailableError
from heracles.model import Change, Changes
from heracles.queue.repeat import Resolve, repeated

#: Milliseconds that one call waits for a change; the next one follows at once.
WAIT_MS = 5000
#: Seconds between attempts while the store is away, on average.
PAUSE_S = 0.5


async def follow(queue: str, transport: Resolve) -> AsyncGenerator[Sequence[Change], None]:
    """The changes from the first iteration on, in batches as they come.

    The first batch is empty and says that it has begun; later ones may be empty too. It goes on where it was after an
    outage of the store, however long.

    Raises:
        TransportUnavailableError: the store is away at the beginning, for longer than ``dispatch_timeout``.
        TransportError: the store refuses.
    """
    seen = await repeated(lambda found: found.changes(queue, None, 0), transport)
    while True:
        yield seen.changes
        seen = await _after(queue, transport, seen.cursor)


async def _after(queue: str, transport: Resolve, cursor: str) -> Changes:
    while True:
        try:
            return await transport().changes(queue, cursor, WAIT_MS)
        except TransportUnavailableError:
            await asyncio.sleep(PAUSE_S * random.uniform(0.5, 1.5))
