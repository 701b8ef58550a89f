"""What a worker has on one store: its session there, the queues, and the parts that serve them."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Collection, Sequence
from concurrent.futures import Future

from heracles.errors import TransportError
from heracles.model import Report, Session
from heracles.transport import Transport
from heracles.worker.fetcher import Fetcher
from heracles.worker.finisher import decide
from heracles.worker.health import StoreHealth
from heracles.worker.heartbeat import RUNNING
from heracles.worker.held import HeldJob, HeldJobs
from heracles.worker.hints import Hints
from heracles.worker.lane import Crew, Lane
from heracles.worker.outcome import GivenBack, Released
from heracles.worker.plan import QueueSettings
from heracles.worker.upkeep import Upkeep

logger = logging.getLogger("heracles.worker")


class Link:
    """Made, used and ended on the worker's event loop, except where said."""

    def __init__(self, transport: Transport, worker_id: str, crew: Crew) -> None:
        self.transport = transport
        #: Of each queue: the same store, perhaps with other options.
        self._transports: dict[str, Transport] = {}
        self._opened = {transport}
        self._crew = crew
        # Unlike the worker's id never used twice: what an earlier life of the worker held is not this one's.
        self._session = Session(worker_id=worker_id, consumer=f"{worker_id}-{secrets.token_hex(6)}")
        self._held = HeldJobs()
        self._lanes: dict[str, Lane] = {}
        self._health = StoreHealth(transport.identity, self._is_back)
        self._upkeep = Upkeep(transport, self._session, self._held, self._health, crew.executor.stop)
        self._hints = Hints(transport, self._session, self._lanes, self._held, self._upkeep.beat_soon, crew.slots)
        #: Those that have yet to begin.
        self._fetchers: dict[str, Fetcher] = {}
        self._fetching: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Task[None] | None = None
        #: Whether the store has a record of the worker.
        self._is_known = False

    async def start(self) -> None:
        """Reach the store, and let it know the worker.

        Raises:
            TransportError: the store cannot be reached or refuses.
        """
        await self.transport.open()
        await self.transport.beat(self._session, (), RUNNING, ())
        self._is_known = True
        self._upkeep.start()
        self._listening = asyncio.create_task(self._hints.run())

    async def serve(self, queue: str, transport: Transport, settings: QueueSettings) -> None:
        """Take jobs from that queue, once ``announce`` and ``begin`` have followed.

        Raises:
            TransportError: the store cannot be reached or refuses.
        """
        if transport not in self._opened:
            await transport.open()
            self._opened.add(transport)
        lane = Lane(
            queue,
            settings,
            transport.settings.max_result_bytes,
            self._held,
            self._crew,
            lambda: transport.waits_for_jobs,
        )
        self._lanes[queue], self._transports[queue] = lane, transport
        self._fetchers[queue] = Fetcher(lane, transport, self._session, self._held, self._health, self._hints.update)

    async def announce(self) -> None:
        """Look after all queues served by now, listen for them, and let others see them."""
        if self._transports:
            self._upkeep.serve(self._transports)
        await self._upkeep.show()
        await self._hints.listen_anew()

    def reconsider(self) -> None:
        """The worker serves a further queue, here or on another store."""
        self._hints.update_all()
        for lane in self._lanes.values():
            lane.reconsider()

    def begin(self, queue: str) -> None:
        """Take jobs. Apart from ``announce``, for a start that is given up must leave no job running."""
        self._fetching.add(asyncio.create_task(self._fetchers.pop(queue).run()))

    # --------------------------------------------------------------------------------------------------------- ending

    def close(self) -> None:
        """Take nothing new."""
        for lane in self._lanes.values():
            lane.close()
        self._hints.update_all()
        self._upkeep.say_stopping()

    def give_back(self) -> None:
        """Take nothing new, and what is on its way goes back unstarted."""
        for lane in self._lanes.values():
            lane.give_back()

    def held(self) -> Sequence[HeldJob]:
        """What is still held; from any thread."""
        return self._held.all()

    async def until_done(self) -> None:
        """Returns when nothing is held any more; ``close`` comes first."""
        if self._fetching:
            await asyncio.wait(self._fetching)

    async def end(self) -> None:
        """Stop the parts: those that ask the store first, the one that keeps the leases last.

        What is still held (after a stop by force) is left to its leases.
        """
        for fetching in self._fetching:
            fetching.cancel()
        await self._hints.close()
        await _ended(self._fetching)
        if self._listening is not None:
            await _ended([self._listening])
        await self._upkeep.stop()
        await self._retire()
        for transport in {self.transport, *self._transports.values()}:
            with contextlib.suppress(TransportError):
                await transport.close()

    async def _retire(self) -> None:
        if not self._is_known or self._health.is_failing:
            # There is no record, or it expires by itself: a call that has to time out would only hold up the end.
            return
        try:
            await self.transport.retire(self._session, tuple(self._lanes))
        except TransportError as error:
            logger.info("the worker's record stays until it expires: %s", error)

    def leave(self) -> "Future[None]":
        """Give back all that is held although its code may still run: the process ends right after.

        From any thread, also while the event loop is blocked.
        """
        return self._upkeep.run(self._leave())

    async def _leave(self) -> None:
        for queue in tuple(self._lanes):
            reports = [report for job in self.held() if job.queue == queue for report in _last_reports(job)]
            if reports:
                await self.transport.exchange(queue, self._session, reports, 0)
        await self.transport.retire(self._session, tuple(self._lanes))

    def _is_back(self) -> None:
        self._upkeep.repair_soon()


async def _ended(tasks: Collection[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


def _last_reports(job: HeldJob) -> Sequence[Report]:
    """What has to be said of a job whose code ends with the process."""
    last = job.report
    if last is None:
        return [decide(GivenBack(begun=job.begun), job.delivery, job.plan)]
    if last.still_running:
        return [last, decide(Released(), job.delivery, job.plan)]
    return [last]
