"""A service of producers and worker processes on one store, and what it goes through."""

import asyncio
import itertools
import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from heracles import JobNotFoundError, JobStatus, Queue, RedisTransport, TransportError
from heracles.model import UNFINISHED
from heracles.queue import JobHandle
from heracles.redis import Redis
from heracles.units import now_ms
from tests import history
from tests.cli.process import Running, running
from tests.processes.app import Wait
from tests.waiting import eventually

LEASE_MS = 3000
#: Longer than any failover on a machine that is five times slower.
PATIENCE_S = 90.0
#: Seconds between two dispatches of one producer.
BEAT_S = 0.02
ROOT = Path(__file__).parents[2]
SOURCES = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
_numbers = itertools.count(1)


class Acknowledged(NamedTuple):
    """A dispatch that the store has confirmed."""

    handle: JobHandle[Any]
    at_ms: int


class Service:
    """Dispatches without a pause while its block runs; ``heracles work`` processes run what it dispatches."""

    def __init__(self, url: str, folder: Path, *, queues: Sequence[str] = ("jobs",), **options: Any) -> None:
        self.url, self.folder = url, folder
        number = next(_numbers)
        self.prefix = f"ha{number}"
        Redis.register_connection(self.prefix, url=url)
        self.transport = RedisTransport(
            connection=self.prefix, key_prefix=self.prefix, lease=LEASE_MS, dispatch_timeout=30_000, **options
        )
        self.queues = [Queue.get(f"{name}-{number}", transport=self.transport) for name in queues]
        self.acknowledged: list[Acknowledged] = []
        self.refused: list[TransportError] = []
        self.workers: list[Running] = []
        self._heard_ms = 0
        self._following: asyncio.Task[None] | None = None
        self._processes = ExitStack()
        self._producers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Service":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, trace: TracebackType | None) -> None:
        await self.stop_producing()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        self._processes.close()
        for queue in self.queues:
            Queue.remove(queue.name)
        await self.transport.close()

    # --------------------------------------------------------------------------------------------------- the service

    async def begin(self, workers: int = 2) -> None:
        """Start workers and producers; returns when jobs are run."""
        for number in range(workers):
            self.workers.append(self.worker(f"worker-{number + 1}"))
        for worker in self.workers:
            await eventually(partial(_serves, worker), what="the worker serves", deadline_s=PATIENCE_S)
        self.resume_producing()
        await self.goes_on(now_ms())

    def resume_producing(self) -> None:
        """Dispatch to each queue, one job after the other."""
        self._producers = [asyncio.create_task(self._produce(queue)) for queue in self.queues]

    def worker(self, id: str) -> Running:
        """A worker process on all queues."""
        names = ",".join(queue.name for queue in self.queues)
        return self._processes.enter_context(
            running(
                "work", f"--id={id}", f"--queues={names}", "--concurrency=4", "--app=tests.processes.app",
                "--wait-for-store", f"--lease={LEASE_MS}", f"--key-prefix={self.prefix}",
                cwd=self.folder,
                env={"HERACLES_URL": self.url, "PROCESS_TEST_FOLDER": str(self.folder), "PYTHONPATH": SOURCES},
            )
        )  # fmt: skip

    async def _produce(self, queue: Queue) -> None:
        while True:
            try:
                handle = await queue.dispatch(Wait())
            except TransportError as error:
                self.refused.append(error)
            else:
                self.acknowledged.append(Acknowledged(handle, now_ms()))
            await asyncio.sleep(BEAT_S)

    async def stop_producing(self) -> None:
        """No further dispatches."""
        for task in self._producers:
            task.cancel()
        await asyncio.gather(*self._producers, return_exceptions=True)
        self._producers.clear()

    async def dispatch_behind_a_door(self, count: int) -> list[JobHandle[Any]]:
        """That many jobs that run until the file ``door`` is there; returns when they run."""
        handles = [await self.queues[0].dispatch(Wait("door")) for _ in range(count)]
        ids = {handle.dispatch_id for handle in handles}
        await eventually(
            lambda: ids <= {start.dispatch_id for start in self.starts()}, what="they run", deadline_s=PATIENCE_S
        )
        return handles

    # ------------------------------------------------------------------------------------------------------- looking

    def follow_changes(self) -> None:
        """Note when the last change of the first queue's jobs was heard of."""
        self._following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for event in self.queues[0].events():
            if event.status is JobStatus.COMPLETED:
                self._heard_ms = now_ms()

    def has_heard(self, since_ms: int) -> bool:
        """Whether a change was heard of after that time."""
        return self._heard_ms > since_ms

    async def are(self, handles: Sequence[JobHandle[Any]], status: JobStatus) -> bool:
        """Whether all of them have that status."""
        return all([await handle.status() is status for handle in handles])

    def starts(self) -> list[history.Started]:
        """All runs so far, in the order in which they began."""
        path = self.folder / "history.jsonl"
        events = history.read(path) if path.exists() else []
        return [event for event in events if isinstance(event, history.Started)]

    def runs(self, handle: JobHandle[Any]) -> list[history.Started]:
        """The runs of one dispatch."""
        return [start for start in self.starts() if start.dispatch_id == handle.dispatch_id]

    async def goes_on(self, since_ms: int, *, on: Sequence[Queue] | None = None) -> None:
        """Returns when, on each queue, something dispatched after that time was acknowledged and has begun to run."""
        for queue in self.queues if on is None else on:
            await eventually(
                partial(self._has_gone_on, queue.name, since_ms),
                what=f"{queue.name} is dispatched to and runs; refused: {self.refused[-3:]}",
                deadline_s=PATIENCE_S,
                interval_s=0.05,
            )

    async def starts_again(self, queue: Queue, since_ms: int) -> None:
        """Returns when a job of the queue has begun after that time."""
        await eventually(
            lambda: any(start.queue == queue.name and start.at_ms > since_ms for start in self.starts()),
            what=f"{queue.name} starts jobs",
            deadline_s=PATIENCE_S,
            interval_s=0.05,
        )

    def _has_gone_on(self, queue: str, since_ms: int) -> bool:
        late = {
            one.handle.dispatch_id for one in self.acknowledged if one.at_ms > since_ms and one.handle.queue == queue
        }
        return any(start.dispatch_id in late for start in self.starts())

    async def all_ended(self, *, lost_between_ms: tuple[int, int] | None = None) -> None:
        """Stop producing; returns when all that was acknowledged is COMPLETED, and nothing else is left unfinished.

        What was acknowledged between two times may be lost instead.
        """
        await self.stop_producing()
        left = set(self.acknowledged)

        async def look() -> bool:
            left.difference_update([one for one in left if await self._has_ended(one, lost_between_ms)])
            return not left

        await eventually(look, what=f"all of {len(left)} have ended", deadline_s=PATIENCE_S, interval_s=0.2)
        for queue in self.queues:
            await eventually(
                partial(is_idle, queue), what=f"nothing is left in {queue.name}", deadline_s=PATIENCE_S, interval_s=0.2
            )

    async def _has_ended(self, one: Acknowledged, lost_between_ms: tuple[int, int] | None) -> bool:
        try:
            status = await one.handle.status()
        except JobNotFoundError:
            from_ms, until_ms = lost_between_ms or (0, 0)
            assert from_ms <= one.at_ms <= until_ms, f"{one} is lost"
            return True
        assert status in (JobStatus.COMPLETED, *UNFINISHED), f"{one} is {status}"
        return status is JobStatus.COMPLETED

    def end_workers(self) -> None:
        """SIGTERM: each exits 0, and has never logged a traceback."""
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        for worker in self.workers:
            assert worker.end() == 0, worker.log
            assert "Traceback" not in worker.log, worker.log


def _serves(worker: Running) -> bool:
    assert worker.process.poll() is None, worker.log
    return " serves " in worker.log


async def is_idle(queue: Queue) -> bool:
    """Whether nothing waits, runs or is to be retried."""
    counts = await queue.counts()
    return not any(number for status, number in counts.items() if not status.is_final)


def longest_pause_s(times_ms: Sequence[int], since_ms: int) -> float:
    """The longest time without an event, from the last one before ``since_ms`` on."""
    times = sorted(times_ms)
    pauses = [after - before for before, after in itertools.pairwise(times) if after > since_ms]
    return max(pauses, default=0) / 1000
