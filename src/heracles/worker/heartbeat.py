"""Heartbeats: they keep a worker's record and the leases of what it holds, and bring what it has to let go."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable

from heracles.errors import TransportError, TransportUnavailableError
from heracles.model import Held, Session
from heracles.transport import Transport
from heracles.worker.health import LONGEST_PAUSE_S, StoreHealth, pause_s
from heracles.worker.held import HeldJob, HeldJobs, Stop

logger = logging.getLogger("heracles.worker")

#: Seconds between heartbeats at most: a worker's record lives for 60 after the last one.
LONGEST_INTERVAL_S = 15.0
#: While leases run and the store is away, so many attempts fall into an interval at least: an outage of up to half a
#: lease that begins when a heartbeat is due must end before the next attempt after it would be too late.
ATTEMPTS_AN_INTERVAL = 8
#: Seconds between them, but for the jitter, however short the lease is.
SHORTEST_PAUSE_S = 0.1
RUNNING = "running"
STOPPING = "stopping"

#: Have that job's code end; callable from any thread.
StopJob = Callable[[HeldJob, Stop], None]


class Heartbeat:
    """Beats every third of a lease, and at once when there is something to ask or tell."""

    def __init__(
        self, transport: Transport, session: Session, held: HeldJobs, health: StoreHealth, stop_job: StopJob
    ) -> None:
        self._session = session
        self._held = held
        self._health = health
        self._stop_job = stop_job
        self.renew_on(transport)
        self._wanted = asyncio.Event()
        # One call at a time: an older one must not overwrite what a newer one has told.
        self._calling = asyncio.Lock()
        self._is_closed = False
        self._failures = 0
        #: What the worker's record says; from any thread.
        self.queues: tuple[str, ...] = ()
        self.status = RUNNING

    def renew_on(self, transport: Transport) -> None:
        """Beat on that transport from now on, in the rhythm of its lease."""
        self._transport = transport
        self._lease_s = transport.settings.lease_ms / 1000
        self._interval_s = min(self._lease_s / 3, LONGEST_INTERVAL_S)

    async def run(self) -> None:
        """Until closed."""
        while not self._is_closed:
            self._wanted.clear()
            pause = await self.attempt()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()

    def soon(self) -> None:
        """Beat now."""
        self._wanted.set()

    def close(self) -> None:
        """Beat no more; a call under way ends first."""
        self._is_closed = True
        self._wanted.set()

    async def beat(self) -> None:
        """One call, which tells what holds when it begins."""
        async with self._calling:
            await self._beat()

    async def _beat(self) -> None:
        # Before the call: the store may count the lease from then on.
        sent_at = time.monotonic()
        jobs = self._held.renewable()
        answer = await self._transport.beat(self._session, self.queues, self.status, [job.named() for job in jobs])
        lost = _keys(answer.lost)
        for job in jobs:
            if job.key in lost:
                self._lose(job)
            else:
                job.lease_until = max(job.lease_until, sent_at + self._lease_s)
        for key in _keys(answer.cancelled):
            job_or_none = self._held.get(key)
            if job_or_none is not None:
                self._stop_job(job_or_none, Stop.CANCELLED)

    def _lose(self, job: HeldJob) -> None:
        job.is_lost = True
        # One that has ended may be unknown to the store because its report has just been taken.
        if not job.ended:
            logger.warning("%s is stopped: it is no longer this worker's", job)
            self._stop_job(job, Stop.LOST)

    async def attempt(self) -> float:
        """Beat, raising nothing; how long to wait until the next one."""
        try:
            await self.beat()
        except TransportError as error:
            return self._failed(error)
        except Exception as error:  # the loop has to survive; a transport should raise nothing else
            logger.exception("unexpected error in a heartbeat")
            return self._failed(error)
        self._failures = 0
        self._health.answered("heartbeat")
        return self._interval_s

    def _failed(self, error: Exception) -> float:
        """How long to wait before it is tried again."""
        self._health.failed("heartbeat", error)
        self._failures += 1
        longest_s = self._interval_s
        # A store that refuses is there, and does not serve the sooner for being asked more often.
        if isinstance(error, TransportUnavailableError) and self._held.renewable():
            longest_s = max(longest_s / ATTEMPTS_AN_INTERVAL, SHORTEST_PAUSE_S)
        return pause_s(self._failures, min(longest_s, LONGEST_PAUSE_S))


def _keys(jobs: Iterable[Held]) -> set[tuple[str, str, int]]:
    return {(job.queue, job.dispatch_id, job.token) for job in jobs}
