"""The hints for one worker, and the wait for a change of status."""

import asyncio
import contextlib
import threading
from collections.abc import Collection, Sequence

from heracles.model import Session, Signal, SignalKind
from heracles.sqlite.wake import Hub

#: Signals kept for a listener that does not ask; they are hints, so that the oldest may go.
_KEPT_SIGNALS = 10_000


class Waker:
    """An event of one event loop that any thread may set."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()

    def wake(self) -> None:
        """End the wait; called from any thread."""
        # A loop that was closed meanwhile has nobody who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self, timeout_ms: int) -> None:
        """Until woken, or for the time given."""
        timer = self._loop.call_later(timeout_ms / 1000, self._finish)
        try:
            await self._future
        finally:
            timer.cancel()


class SqliteListener:
    """Hears of work in, and cancelled jobs of, the queues of one session."""

    def __init__(self, hub: Hub, session: Session, queues: Sequence[str]) -> None:
        self.consumer = session.consumer
        self.queues = tuple(dict.fromkeys(queues))
        self._hub = hub
        self._lock = threading.Lock()
        # In order of arrival, each once.
        self._signals: dict[Signal, None] = {}
        self._waker: Waker | None = None
        self._closed = False
        self._wanted = frozenset(queues)
        hub.join(self)

    def wants(self, queue: str) -> bool:
        """Whether the worker has use for work of that queue."""
        return queue in self._wanted

    def want(self, queues: Collection[str], waiting: Collection[str] = ()) -> None:
        """The queues whose WORK hints are wanted from now on; what had come for another one is handed on."""
        wanted = frozenset(queues)
        with self._lock:
            gained, self._wanted = wanted - self._wanted, wanted
            useless = [signal for signal in self._signals if not self._has_use_for(signal)]
            for signal in useless:
                del self._signals[signal]
        if gained:
            self._hub.freed(gained, self.consumer)
        for signal in useless:
            self._hub.wake(signal.queue)

    def _has_use_for(self, signal: Signal) -> bool:
        return signal.kind is SignalKind.CANCEL or signal.queue in self._wanted

    def hear(self, signal: Signal) -> bool:
        """Take a signal, or refuse it as of no use; called from any thread."""
        with self._lock:
            if self._closed or not self._has_use_for(signal):
                return False
            if signal in self._signals:
                return True
            self._signals[signal] = None
            if len(self._signals) > _KEPT_SIGNALS:
                del self._signals[next(iter(self._signals))]
            waker = self._waker
        if waker is not None:
            waker.wake()
        return True

    async def wait(self, timeout_ms: int) -> Sequence[Signal]:
        """The hints that came since the last call; waits for one up to the time given."""
        waker = Waker()
        with self._lock:
            self._waker = waker
            waiting = not self._signals and not self._closed
        try:
            if waiting:
                await waker.wait(timeout_ms)
        finally:
            with self._lock:
                self._waker = None
        with self._lock:
            signals, self._signals = tuple(self._signals), {}
        return signals

    async def close(self) -> None:
        """Stop listening; a wait under way returns."""
        with self._lock:
            closed, self._closed = self._closed, True
            waker = self._waker
        if waker is not None:
            waker.wake()
        if not closed:
            self._hub.part(self)
