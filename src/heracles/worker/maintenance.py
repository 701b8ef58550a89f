"""The passes of maintenance over the queues that a worker serves."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Mapping

from heracles.errors import TransportError
from heracles.model import Swept
from heracles.transport import Transport

logger = logging.getLogger("heracles.worker")

#: Seconds between two passes over a queue, and before the first one at most.
INTERVAL_S = 300.0
FIRST_S = 10.0
#: Seconds at most from when a lost store is back to when what it may have lost is looked for.
REPAIR_S = 1.0


class Maintenance:
    """Each queue in its own rhythm, with jitter, so that many workers do not come at once."""

    def __init__(self) -> None:
        self._transports: Mapping[str, Transport] = {}
        self._due: dict[str, float] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            now = time.monotonic()
            for queue in [queue for queue, due in self._due.items() if due <= now]:
                await self._pass(queue)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._changed.wait()

    def serve(self, transports: Mapping[str, Transport]) -> None:
        """Look after these queues, each on its transport."""
        self._transports = transports
        for queue in transports:
            self._due.setdefault(queue, time.monotonic() + random.uniform(0.0, FIRST_S))
        self._changed.set()

    def repair_soon(self) -> None:
        """The store was away and may have lost something: look through all queues."""
        for queue in self._due:
            self._due[queue] = time.monotonic() + random.uniform(0.0, REPAIR_S)
        self._changed.set()

    def _pause_s(self) -> float | None:
        return max(0.0, min(self._due.values()) - time.monotonic()) if self._due else None

    async def _pass(self, queue: str) -> None:
        self._due[queue] = time.monotonic() + INTERVAL_S * random.uniform(0.9, 1.1)
        try:
            swept = await self._transports[queue].maintain(queue)
        except TransportError as error:
            logger.info("maintenance of queue %s has to wait: %s", queue, error)
        except Exception:  # the loop has to survive; a transport should raise nothing else
            logger.exception("unexpected error in the maintenance of queue %s", queue)
        else:
            if swept != Swept():
                logger.debug("maintenance of queue %s: %s", queue, swept)
