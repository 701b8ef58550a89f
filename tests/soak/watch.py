"""Follows the events of a soak's queues, and pauses and resumes them: ``python -m tests.soak.watch``.

SIGUSR1: it pauses nothing more. SIGTERM: it ends, once it has seen all that happened before.
"""

import asyncio
import contextlib
import random
import signal
import sys

from heracles.errors import TransportError
from heracles.model import JobStatus
from heracles.queue import Queue
from heracles.units import now_ms
from tests.history import Changed, Paused, Sent
from tests.soak import place
from tests.soak.jobs import Wait
from tests.soak.plan import QUEUES, WATCHING, Plan
from tests.soak.sending import COMPLETES
from tests.waiting import eventually

#: Begin the ids of its own jobs, of whose events only a part is seen.
_FIRST, _LAST = "first-", "last-"
_LOOK_S = 0.3
_LAST_S = 45.0
_BETWEEN_PAUSES_S = 12.0
_LONGEST_PAUSE_S = 2.5


class Watcher:
    """Everything happens on one event loop."""

    def __init__(self, plan: Plan) -> None:
        self._rng = random.Random(f"{plan.seed}:watch")
        self.is_calm = asyncio.Event()
        """Whether nothing is to be paused any more."""
        self.is_over = asyncio.Event()
        """Whether all has happened that will."""
        self._seen: dict[str, JobStatus | None] = {}

    async def run(self) -> None:
        """Until it is over."""
        following = [asyncio.create_task(self._follow(name)) for name in QUEUES]
        for name in QUEUES:
            await self._until_first_is_seen(name)
        (place.FOLDER / WATCHING).touch()
        await self._pause_now_and_then()
        await self.is_over.wait()
        for name in QUEUES:
            await self._until_last_is_seen(name)
        for task in following:
            task.cancel()

    async def _follow(self, queue: str) -> None:
        while True:
            with contextlib.suppress(TransportError):
                async for event in Queue.get(queue).events():
                    if event.dispatch_id.startswith((_FIRST, _LAST)):
                        self._seen[event.dispatch_id] = event.status
                    else:
                        self._note(queue, event.dispatch_id, event.status, round(event.at.timestamp() * 1000))
            # It gave up while the store was away: what came meanwhile is missed.
            self._note(queue, "", None, now_ms())

    @staticmethod
    def _note(queue: str, dispatch_id: str, status: JobStatus | None, at_ms: int) -> None:
        place.note(Changed(queue=queue, dispatch_id=dispatch_id, status=status, at_ms=at_ms))

    async def _until_first_is_seen(self, queue: str) -> None:
        """Dispatch until one is seen: from then on none is missed."""
        names: list[str] = []
        while not self._seen.keys() & set(names):
            names.append(f"{_FIRST}{queue}-{len(names)}")
            await self._dispatch(queue, names[-1])
            await asyncio.sleep(_LOOK_S)

    async def _until_last_is_seen(self, queue: str) -> None:
        """Events of a queue come in order."""
        name = f"{_LAST}{queue}"
        await self._dispatch(queue, name)
        await eventually(lambda: self._seen.get(name) is JobStatus.COMPLETED, deadline_s=_LAST_S, interval_s=_LOOK_S)

    @staticmethod
    async def _dispatch(queue: str, name: str) -> None:
        place.note(Sent(queue=queue, dispatch_id=name, kind="sign", at_ms=now_ms(), ends=COMPLETES))
        await Queue.get(queue).dispatch(Wait, [1], dispatch_id=name)

    # ----------------------------------------------------------------------------------------------------- pausing

    async def _pause_now_and_then(self) -> None:
        while not await self._is_calm_within(self._rng.expovariate(1 / _BETWEEN_PAUSES_S)):
            await self._pause(self._rng.choice(QUEUES), self._rng.uniform(0.2, _LONGEST_PAUSE_S))

    async def _is_calm_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.is_calm.wait()
        return self.is_calm.is_set()

    async def _pause(self, name: str, seconds: float) -> None:
        queue, from_ms = Queue.get(name), None
        with contextlib.suppress(TransportError):
            await queue.pause()
            from_ms = now_ms()
        await self._is_calm_within(seconds)
        until_ms = now_ms()
        if from_ms is not None:
            place.note(Paused(queue=name, from_ms=from_ms, until_ms=until_ms))
        while True:
            with contextlib.suppress(TransportError):
                await queue.resume()
                return


async def _main() -> None:
    watcher = Watcher(Plan.read(place.FOLDER))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, watcher.is_calm.set)
    loop.add_signal_handler(signal.SIGTERM, watcher.is_over.set)
    await watcher.run()


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
