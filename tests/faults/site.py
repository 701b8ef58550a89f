"""A Redis server of a test's own or a file, with worker processes on it and a producer that never rests."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from heracles import JobStatus, Queue, TransportError
from heracles.transport import Transport
from heracles.units import now_ms
from tests import history
from tests.cli.process import Running
from tests.faults.app import Tick
from tests.processes.site import QUEUE, ProcessSite
from tests.stores import Store
from tests.waiting import eventually

#: Seconds within which service has to resume after an outage; the tests of long outages hold it to that.
SOON_S = 5.0
#: What the others give it, on a machine that is busy with more tests: a worker that has gone deaf never resumes.
SOON_ENOUGH_S = 20.0
#: For what must keep its lease, however busy the machine is.
LONG_LEASE_MS = 3000
#: What a worker says when its store is lost, and when it is back.
LOST = ("is away", "refuses, trying on")
BACK = "is back after"


class FaultSite(ProcessSite):
    """Worker processes run the jobs of ``tests.faults.app``."""

    app = "tests.faults.app"

    def __init__(self, store: Store, folder: Path, processes: ExitStack) -> None:
        super().__init__(store, folder, processes)
        #: More of the environment of the worker processes.
        self.more: dict[str, str] = {}

    @property
    def _environment(self) -> dict[str, str]:
        return {**super()._environment, **self.more}

    @property
    def prefix(self) -> str:
        """Of the keys in Redis."""
        return self._prefix

    def starts(self) -> Sequence[history.Started]:
        """All starts so far."""
        events = history.read(self.history) if self.history.exists() else []
        return [event for event in events if isinstance(event, history.Started)]

    def ends(self, dispatch_id: str) -> Sequence[history.Ended]:
        """Its ends so far."""
        events = history.read(self.history) if self.history.exists() else []
        return [event for event in events if isinstance(event, history.Ended) and event.dispatch_id == dispatch_id]

    async def serving(self, *arguments: str, id: str = "worker-1", lease_ms: int = 1000) -> Running:
        """A worker process, once it takes jobs."""
        worker = self.worker(*arguments, id=id, lease_ms=lease_ms)
        worker.await_line("jobs: ")
        return worker

    async def serves(self) -> None:
        """Returns when a job that is dispatched from now on has been completed."""
        await eventually(self._is_served, what="a new job is completed", deadline_s=SOON_ENOUGH_S)

    async def _is_served(self) -> bool:
        try:
            dispatch_id = await self.dispatch("Tick")
            async with asyncio.timeout(1):
                return (await self.until(dispatch_id)).status is JobStatus.COMPLETED
        except (TransportError, TimeoutError, AssertionError):
            # It has not come back for this side, or has just lost what it had.
            return False


class Steady:
    """Dispatches a job every 20 ms, and each again under its id until it is acknowledged."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        #: Each acknowledged dispatch id with when it was.
        self.acknowledged: dict[str, int] = {}
        self.errors: list[TransportError] = []

    async def run(self) -> None:
        """Until cancelled."""
        number = 0
        while True:
            number += 1
            await self._dispatch(f"steady-{number}")
            await asyncio.sleep(0.02)

    async def _dispatch(self, dispatch_id: str) -> None:
        while True:
            try:
                await self._queue.dispatch(Tick(), dispatch_id=dispatch_id)
            except TransportError as error:
                self.errors.append(error)
            else:
                self.acknowledged[dispatch_id] = now_ms()
                return

    def since(self, at_ms: int) -> int:
        """How many were acknowledged since then."""
        return sum(each >= at_ms for each in self.acknowledged.values())


@asynccontextmanager
async def steadily(transport: Transport) -> AsyncIterator[Steady]:
    """A producer on that transport, stopped at the end of the block."""
    queue = Queue.get(QUEUE, transport=transport)
    steady = Steady(queue)
    task = asyncio.create_task(steady.run())
    try:
        await eventually(lambda: steady.acknowledged, what="a first dispatch")
        yield steady
    finally:
        task.cancel()
        await asyncio.wait([task])
        Queue.remove(QUEUE)
    if not task.cancelled():
        task.result()


def told(worker: Running) -> tuple[int, int]:
    """How often a worker has said that its store is lost, and that it is back."""
    lines = worker.log.splitlines()
    return sum(any(words in line for words in LOST) for line in lines), sum(BACK in line for line in lines)
