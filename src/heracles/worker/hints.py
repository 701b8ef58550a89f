"""What the store lets a worker know between two looks: that there may be jobs, that one may have been cancelled."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from heracles.model import Session, Signal, SignalKind
from heracles.transport import Listener, Transport
from heracles.worker.health import pause_s
from heracles.worker.held import HeldJobs
from heracles.worker.lane import Lane
from heracles.worker.slots import Slots

logger = logging.getLogger("heracles.worker")

#: Milliseconds that one wait may take; hints come at once, so this only bounds how long a lost one stays unnoticed.
WAIT_MS = 5_000


class Hints:
    """Wakes lanes. A hint is never more than a reason to ask the store."""

    def __init__(
        self,
        transport: Transport,
        session: Session,
        lanes: Mapping[str, Lane],
        held: HeldJobs,
        ask_about_held: Callable[[], None],
        slots: Slots,
    ) -> None:
        self._transport = transport
        self._session = session
        self._lanes = lanes
        self._held = held
        self._ask_about_held = ask_about_held
        self._slots = slots
        self._listener: Listener | None = None
        #: The queues that could take a job on.
        self._wanted: set[str] = set()
        #: Whether they hear of jobs by themselves.
        self._waits = False
        self._was_exhausted = False
        self._is_to_tell = False
        self._is_closed = False
        self._has_queues = asyncio.Event()
        self._failures = 0

    async def run(self) -> None:
        """Until closed."""
        while not self._is_closed:
            await self._has_queues.wait()
            try:
                await self._listen()
            except Exception:  # the loop has to survive; a listener should raise nothing
                self._failures += 1
                logger.exception("unexpected error while listening")
                await asyncio.sleep(pause_s(self._failures))

    async def listen_anew(self) -> None:
        """The queues have changed."""
        self._has_queues.set()
        await self._drop()

    async def close(self) -> None:
        """Listen no more."""
        self._is_closed = True
        await self.listen_anew()

    def update(self, queue: str) -> None:
        """That queue has taken or given back slots: hints of work that could not be taken on belong to other workers.

        Told after all that is ready now, and only of what has changed, for there may be thousands of queues.
        """
        lane = self._lanes[queue]
        if self._slots.is_exhausted != self._was_exhausted or lane.waits != self._waits:
            self.update_all()
        elif lane.takes_jobs != (queue in self._wanted):
            self._wanted ^= {queue}
            self._tell_soon()

    def update_all(self) -> None:
        """Any queue may have."""
        self._was_exhausted = self._slots.is_exhausted
        self._wanted = {queue for queue, lane in self._lanes.items() if lane.takes_jobs}
        self._waits = any(lane.waits for lane in self._lanes.values())
        self._tell_soon()

    def _tell_soon(self) -> None:
        if not self._is_to_tell:
            self._is_to_tell = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._is_to_tell = False
        if self._listener is not None:
            hinted, waiting = ((), self._wanted) if self._waits else (self._wanted, ())
            self._listener.want(frozenset(hinted), frozenset(waiting))

    async def _listen(self) -> None:
        if self._is_closed:
            return
        self._listener = listener = self._transport.listen(self._session, tuple(self._lanes))
        self.update_all()
        # What was told before is not told again.
        for lane in self._lanes.values():
            lane.look()
        try:
            while self._listener is listener:
                for signal in await listener.wait(WAIT_MS):
                    self._heed(signal)
                self._failures = 0
        finally:
            await listener.close()

    async def _drop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.close()

    def _heed(self, signal: Signal) -> None:
        if signal.kind is SignalKind.WORK:
            lane = self._lanes.get(signal.queue)
            if lane is not None:
                lane.look()
        elif not signal.dispatch_id or self._holds(signal):
            self._ask_about_held()

    def _holds(self, signal: Signal) -> bool:
        return any(
            job.queue == signal.queue and job.delivery.envelope.dispatch_id == signal.dispatch_id
            for job in self._held.all()
        )
