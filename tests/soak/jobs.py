"""What the workers of a soak run. Every job writes down its start and its end, and returns the token of its run."""

import asyncio
import os
import signal
import time

from heracles.job import Job
from heracles.model import JobOverlapBehavior
from heracles.units import now_ms
from tests.history import Disturbed
from tests.history.events import COMPLETED, KILLED, RAISED, STOPPED, Ended, Started
from tests.soak import place
from tests.soak.plan import Plan
from tests.soak.processes import WORKER
from tests.soak.sending import Piece, send
from tests.soak.stalls import StallWatch

#: How often a thread looks whether it was cancelled.
_SLICE_S = 0.02

place.declare_queues()
if place.NAME.startswith(WORKER):
    StallWatch(place.NAME, Plan.read(place.FOLDER).lease_ms / 1000 / 2, place.note).start()


class Noted(Job):
    """Writes down what happens to it."""

    def note_start(self) -> None:
        assert self.started_at is not None
        assert self.queue_name is not None
        assert self.id is not None
        assert self.dispatch_id is not None
        place.note(
            Started(
                queue=self.queue_name,
                job_id=self.id,
                dispatch_id=self.dispatch_id,
                worker=place.NAME,
                token=self.token,
                retries=self.retries,
                stored_ms=round(self.started_at.timestamp() * 1000),
                at_ms=now_ms(),
            )
        )

    def note_end(self, outcome: str) -> None:
        assert self.dispatch_id is not None
        place.note(
            Ended(dispatch_id=self.dispatch_id, token=self.token, outcome=outcome, at_ms=now_ms(), worker=place.NAME)
        )


class OnLoop(Noted):
    """Its work is done on the event loop."""

    async def work(self) -> None:
        raise NotImplementedError

    async def execute(self) -> int:
        self.note_start()
        try:
            await self.work()
        except asyncio.CancelledError:
            self.note_end(STOPPED)
            raise
        except BaseException:
            self.note_end(RAISED)
            raise
        self.note_end(COMPLETED)
        return self.token


class OnThread(Noted):
    """Its work is done on a thread."""

    def work(self) -> None:
        raise NotImplementedError

    def execute(self) -> int:
        self.note_start()
        try:
            self.work()
        except BaseException:
            self.note_end(RAISED)
            raise
        self.note_end(STOPPED if self.cancelled else COMPLETED)
        return self.token


@Job.register()
class Wait(OnLoop):
    """Waits on the event loop; raises on its first runs."""

    def __init__(self, ms: int, failures: int = 0) -> None:
        self.ms, self.failures = ms, failures

    async def work(self) -> None:
        await asyncio.sleep(self.ms / 1000)
        if self.retries < self.failures:
            raise RuntimeError(f"run {self.retries} of {self.failures} that fail")


@Job.register()
class WaitInThread(OnThread):
    """Waits on a thread; one that is deaf does not heed that it was cancelled."""

    def __init__(self, ms: int, is_deaf: bool = False) -> None:
        self.ms, self.is_deaf = ms, is_deaf

    def work(self) -> None:
        end = time.monotonic() + self.ms / 1000
        while time.monotonic() < end and (self.is_deaf or not self.cancelled):
            time.sleep(_SLICE_S)


@Job.register(overlap_behavior=JobOverlapBehavior.NO_OVERLAP)
class Alone(Wait):
    """One of a job id at a time."""


@Job.register(overlap_behavior=JobOverlapBehavior.NO_OVERLAP)
class AloneInThread(WaitInThread):
    """The same on a thread."""


@Job.register(max_retries=1, timeout=400)
class TakeTooLong(Wait):
    """Is stopped by its time-out."""


@Job.register(max_retries=1, timeout=400)
class TakeTooLongInThread(WaitInThread):
    """Is told of its time-out, or not."""


@Job.register()
class BlockLoop(OnLoop):
    """Lets nothing else in its worker's event loop go on."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    async def work(self) -> None:
        time.sleep(self.ms / 1000)  # noqa: ASYNC251 - that is the point


@Job.register()
class Parent(OnLoop):
    """Dispatches another one, the same one however often it runs."""

    async def work(self) -> None:
        await send(Piece(kind="child", job=Wait, args=(5,)), str(self.queue_name), f"{self.dispatch_id}-child")


@Job.register()
class Poison(OnLoop):
    """Kills its worker so many times."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths

    async def work(self) -> None:
        if place.times_seen(str(self.dispatch_id)) <= self.deaths:
            place.note(Disturbed(worker=place.NAME, how=KILLED, from_ms=now_ms()))
            os.kill(os.getpid(), signal.SIGKILL)
