"""A producer of a soak: dispatches a random mix, cancels some of it, and writes down what the store has answered.

``python -m tests.soak.produce`` goes on until SIGTERM.
"""

import asyncio
import random
import signal
import sys
from datetime import UTC, datetime, timedelta

from heracles.errors import JobCancelledError, JobFailedError, ResultTimeoutError, TransportError
from heracles.queue import JobHandle
from heracles.units import now_ms
from tests.history import Cancelled, Cancelling, Returned
from tests.soak import place
from tests.soak.mix import draw
from tests.soak.plan import QUEUES, Plan
from tests.soak.sending import Piece, send

#: It dispatches from threads.
_SYNC_PRODUCER = "producer-2."
#: Dispatches under way at once: while the store is away they are held up.
_MOST_AT_ONCE = 20
_SHARE_CANCELLED = 0.08
_SHARE_REPEATED = 0.03
_SHARE_AWAITED = 0.1
_RESULT_S = 20.0
#: After its end a result is seen within this, also by one whose hints were missed.
_SEEN_WITHIN = timedelta(seconds=15)
#: Now and then several come at once.
_SHARE_OF_BURSTS = 0.02
_BURST = 15


class Producer:
    """Dispatches under ids of its own, so that what was sent is known even if the answer is not."""

    def __init__(self, plan: Plan) -> None:
        # A producer that was killed goes on with another part of the mix.
        self._rng = random.Random(f"{plan.seed}:{place.NAME}")
        self._plan = plan
        self._is_sync = place.NAME.startswith(_SYNC_PRODUCER)
        self._count = 0
        self._room = asyncio.Semaphore(_MOST_AT_ONCE)
        self._stopped = asyncio.Event()
        self._tasks: asyncio.TaskGroup

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped.set()

    async def run(self) -> None:
        """Until stopped; returns when all that was sent has been answered."""
        async with asyncio.TaskGroup() as self._tasks:
            while not self._stopped.is_set():
                for _ in range(_BURST if self._rng.random() < _SHARE_OF_BURSTS else 1):
                    await self._room.acquire()
                    self._tasks.create_task(self._one(draw(self._rng), self._rng.choice(QUEUES)))
                await self._pause(self._rng.expovariate(self._plan.rate))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return

    async def _one(self, piece: Piece, queue: str) -> None:
        self._count += 1
        dispatch_id = f"{place.NAME}-{self._count}"
        cancels, repeats, waits = (
            self._rng.random() < share for share in (_SHARE_CANCELLED, _SHARE_REPEATED, _SHARE_AWAITED)
        )
        cancel_after_s = self._rng.random() * 1.2
        try:
            handle = await send(piece, queue, dispatch_id, is_sync=self._is_sync)
            if waits:
                self._tasks.create_task(_await_result(handle))
            if repeats:
                await send(piece, queue, dispatch_id, is_sync=self._is_sync)
            if cancels:
                await asyncio.sleep(cancel_after_s)
                await _cancel(handle)
        except TransportError:
            return  # sent, and not known whether it arrived
        finally:
            self._room.release()


async def _cancel(handle: JobHandle[int]) -> None:
    place.note(Cancelling(dispatch_id=handle.dispatch_id, at_ms=now_ms()))
    answer = await handle.cancel()
    place.note(Cancelled(dispatch_id=handle.dispatch_id, answer=answer, at_ms=now_ms()))


async def _await_result(handle: JobHandle[int]) -> None:
    try:
        token = await handle.result(timeout=_RESULT_S)
    except (JobFailedError, JobCancelledError, TransportError):
        return
    except ResultTimeoutError:
        await _check_unfinished(handle)
        return
    place.note(Returned(dispatch_id=handle.dispatch_id, result=token, at_ms=now_ms()))


async def _check_unfinished(handle: JobHandle[int]) -> None:
    try:
        ended_at = (await handle.info()).completed_at
    except TransportError:
        return
    if ended_at is not None and datetime.now(UTC) - ended_at > _SEEN_WITHIN:
        raise RuntimeError(f"{handle!r} ended at {ended_at}, and whoever waited for it was not told")


async def _main() -> None:
    producer = Producer(Plan.read(place.FOLDER))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, producer.stop)
    await producer.run()


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
