"""The thread that does what a worker does besides running jobs: heartbeats, leases, maintenance.

A thread, because user code may block the event loop for longer than a lease; with connections of its own, because the
transport keeps some for each event loop.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any

from heracles.errors import TransportError
from heracles.model import Session
from heracles.transport import Transport
from heracles.worker.health import StoreHealth
from heracles.worker.heartbeat import STOPPING, Heartbeat
from heracles.worker.held import HeldJob, HeldJobs, Stop
from heracles.worker.maintenance import Maintenance
from heracles.worker.watchdog import DeafWatch, LeaseWatch, LoopWatch

logger = logging.getLogger("heracles.worker")

#: Seconds between two looks of the watchdogs: a twentieth of a lease, within these bounds.
SHORTEST_TICK_S = 0.01
LONGEST_TICK_S = 0.25
#: Seconds that a heartbeat under way has when the worker ends.
LAST_BEAT_S = 1.0
#: Seconds that the thread has to end.
PATIENCE_S = 5.0


class Upkeep:
    """One for each store of a worker. Its methods are called on the worker's event loop, except where said."""

    def __init__(
        self,
        transport: Transport,
        session: Session,
        held: HeldJobs,
        health: StoreHealth,
        stop_job: Callable[[HeldJob, Stop], None],
    ) -> None:
        self._transports = {transport}
        self._held = held
        self._stop_job = stop_job
        self._main_loop = asyncio.get_running_loop()
        self._has_ended = asyncio.Event()
        self._heartbeat = Heartbeat(transport, session, held, health, self._tell)
        self._maintenance = Maintenance()
        self._loop_watch = LoopWatch(held)
        self._deaf_watch = DeafWatch(held)
        self._watch_leases(transport.settings.lease_ms)
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="heracles-upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def serve(self, transports: Mapping[str, Transport]) -> None:
        """These are the queues from now on, each with its transport: all on one store, perhaps with other options."""
        self._heartbeat.queues = tuple(transports)
        self._call(self._serve, dict(transports))

    async def show(self) -> None:
        """Returns when the worker's record says what it serves; where the store does not take it, a later beat will."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._heartbeat.attempt(), self._loop))

    def beat_soon(self) -> None:
        """Ask the store now what has become of the held jobs."""
        self._call(self._heartbeat.soon)

    def repair_soon(self) -> None:
        """The store was away and may have lost something; from any thread."""
        self._call(self._maintenance.repair_soon)

    def say_stopping(self) -> None:
        """Let the worker's record say that it takes nothing new."""
        self._heartbeat.status = STOPPING
        self._call(self._heartbeat.soon)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> "Future[None]":
        """Have the thread run it; from any thread, also while the worker's event loop is blocked."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def stop(self) -> None:
        """End the thread; safe twice, and before start."""
        if self._thread.ident is None:
            self._loop.close()
            return
        self._call(self._stopping.set)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._has_ended.wait()
        except TimeoutError:
            logger.warning("the upkeep of the worker has not ended within %.0f s and is left behind", PATIENCE_S)
        else:
            self._thread.join()

    def _watch_leases(self, lease_ms: int) -> None:
        self._lease_ms = lease_ms
        self._tick_s = min(max(lease_ms / 1000 / 20, SHORTEST_TICK_S), LONGEST_TICK_S)
        self._lease_watch = LeaseWatch(self._held, lease_ms / 1000, self._lose)

    # -------------------------------------------------------------------------------------------------- in the thread

    def _serve(self, transports: Mapping[str, Transport]) -> None:
        self._transports.update(transports.values())
        # The shortest lease sets the rhythm: renewing the others too often harms nobody.
        shortest = min(transports.values(), key=lambda transport: transport.settings.lease_ms)
        if shortest.settings.lease_ms < self._lease_ms:
            self._heartbeat.renew_on(shortest)
            self._watch_leases(shortest.settings.lease_ms)
        self._heartbeat.soon()
        self._maintenance.serve(transports)

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._main())
            except Exception:  # nothing above it would tell
                logger.exception("the upkeep of the worker has failed")
        with contextlib.suppress(RuntimeError):  # the worker's event loop may be gone
            self._main_loop.call_soon_threadsafe(self._has_ended.set)

    async def _main(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                beating = tasks.create_task(self._heartbeat.run())
                maintenance = tasks.create_task(self._maintenance.run())
                watch = tasks.create_task(self._watch())
                await self._stopping.wait()
                self._heartbeat.close()
                maintenance.cancel()
                watch.cancel()
                await asyncio.wait((beating,), timeout=LAST_BEAT_S)
                beating.cancel()
        finally:
            for transport in self._transports:
                with contextlib.suppress(TransportError):
                    await transport.close()

    async def _watch(self) -> None:
        while not self._main_loop.is_closed():
            self._lease_watch.check()
            self._loop_watch.check()
            self._deaf_watch.check()
            await asyncio.sleep(self._tick_s)
        # Its tasks are gone with it: what it held must be free for others when the leases end.
        logger.warning("the event loop of the worker was closed without stopping it")
        self._stopping.set()

    def _tell(self, job: HeldJob, why: Stop) -> None:
        """Stop a job's code; the flag is raised even while the worker's event loop is blocked."""
        job.raise_flag()
        with contextlib.suppress(RuntimeError):  # the event loop is closed: `_watch` finds out
            self._main_loop.call_soon_threadsafe(self._stop_job, job, why)

    def _lose(self, job: HeldJob) -> None:
        job.is_lost = True
        self._tell(job, Stop.LOST)

    def _call(self, call: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the thread has ended
            self._loop.call_soon_threadsafe(call, *args)
