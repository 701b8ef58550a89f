"""Who is woken by what: listeners for work and cancels, readers for changes, in this process and in others."""

import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import msgspec

from heracles.model import Signal, SignalKind
from heracles.sqlite.turn import Hints

#: Of a batch that became ready at once, so many listeners are woken; each that finds more than it can take wakes one.
_WOKEN_AT_ONCE = 4
#: What is due later than this is looked at again before; threads cannot wait for years.
_LONGEST_WAIT_S = 3600.0
#: How long a process is told of changes after its last watcher has gone.
_LINGERING_S = 5.0


class Message(msgspec.Struct, frozen=True, array_like=True):
    """What one process tells another."""

    kind: str
    queue: str
    dispatch_id: str = ""
    consumer: str = ""
    tried: tuple[str, ...] = ()
    """The processes that had no use for it."""


#: A job is ready: one listener is to be woken, or all; a job was cancelled; a status has changed.
WORK, ALL, CANCEL, CHANGE = "w", "a", "c", "e"


class Bell(Protocol):
    """Reaches the other processes that use the same file."""

    @property
    def name(self) -> str:
        """This process, as others know it."""
        ...

    def answer(self, receive: Callable[[Message], None]) -> None:
        """Pass each message of others on to that."""
        ...

    def advertise(self, kind: str, queue: str) -> None:
        """Let others know that this process wants such messages."""
        ...

    def withdraw(self, kind: str, queue: str) -> None:
        """It wants them no more."""
        ...

    def names(self, kind: str, queue: str) -> Sequence[str]:
        """The other processes that want such messages."""
        ...

    def send(self, name: str, message: Message) -> bool:
        """Whether that process got it."""
        ...


class Silence:
    """The bell of a store that only one process uses."""

    name = ""

    def answer(self, receive: Callable[[Message], None]) -> None:
        """Nobody sends any."""

    def advertise(self, kind: str, queue: str) -> None:
        """Nobody to tell."""

    def withdraw(self, kind: str, queue: str) -> None:
        """Nobody to tell."""

    def names(self, kind: str, queue: str) -> Sequence[str]:
        """Nobody."""
        return ()

    def send(self, name: str, message: Message) -> bool:
        """Nobody gets it."""
        return False


class Ear(Protocol):
    """A listener of this process."""

    @property
    def consumer(self) -> str:
        """The session that it listens for."""
        ...

    @property
    def queues(self) -> Sequence[str]:
        """The queues that it listens to."""
        ...

    def wants(self, queue: str) -> bool:
        """Whether it has use for work of that queue."""
        ...

    def hear(self, signal: Signal) -> bool:
        """Take a signal, or refuse it as of no use; called from any thread."""
        ...


class Hub:
    """Passes the hints of committed transactions to whom they concern. Thread-safe; never raises."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._lock = threading.Lock()
        self._ears: dict[str, list[Ear]] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        # Consumers whose last look filled all their slots: a job would wait for them.
        self._full: set[tuple[str, str]] = set()
        # Consumers that were woken since they began to look.
        self._woken: set[tuple[str, str]] = set()
        self._due: dict[str, float] = {}
        # Queues whose last watcher has gone, and until when others still tell this process: watchers come and go.
        self._lingering: dict[str, float] = {}
        bell.answer(self.receive)

    # --------------------------------------------------------------------------------------------- who wants to know

    def join(self, ear: Ear) -> None:
        """Begin to pass signals to a listener."""
        for queue in ear.queues:
            with self._lock:
                self._ears.setdefault(queue, []).append(ear)
            self._bell.advertise(WORK, queue)

    def part(self, ear: Ear) -> None:
        """Stop it; what it was woken for goes to another."""
        for queue in ear.queues:
            with self._lock:
                self._ears[queue].remove(ear)
                self._full.discard((queue, ear.consumer))
                woken = (queue, ear.consumer) in self._woken
                self._woken.discard((queue, ear.consumer))
            self._bell.withdraw(WORK, queue)
            if woken:
                self.wake(queue)

    def watch(self, queue: str, callback: Callable[[], None]) -> None:
        """Call back after each transaction that changed a status in that queue."""
        with self._lock:
            is_known = queue in self._watchers or queue in self._lingering
            self._lingering.pop(queue, None)
            self._watchers.setdefault(queue, []).append(callback)
        if not is_known:
            self._bell.advertise(CHANGE, queue)

    def unwatch(self, queue: str, callback: Callable[[], None]) -> None:
        """Stop it."""
        with self._lock:
            self._watchers[queue].remove(callback)
            if not self._watchers[queue]:
                del self._watchers[queue]
                self._lingering[queue] = time.monotonic() + _LINGERING_S

    def quiet(self, *, at_once: bool = False) -> None:
        """Tell others that this process watches no more what nobody has watched for a while."""
        now = time.monotonic()
        with self._lock:
            gone = [queue for queue, until in self._lingering.items() if at_once or until <= now]
            for queue in gone:
                del self._lingering[queue]
        for queue in gone:
            self._bell.withdraw(CHANGE, queue)

    # --------------------------------------------------------------------------------------------------- what happens

    def freed(self, queues: Collection[str], consumer: str) -> None:
        """A worker has use for jobs of these queues."""
        with self._lock:
            self._full.difference_update({(queue, consumer) for queue in queues})

    def looking(self, queue: str, consumer: str) -> None:
        """A worker begins to look for jobs: what is committed from now on it may miss."""
        with self._lock:
            self._full.discard((queue, consumer))
            self._woken.discard((queue, consumer))

    def filled(self, queue: str, consumer: str, *, more: bool) -> None:
        """It has looked and can take no more, though there may be more: for somebody else."""
        with self._lock:
            if any(ear.consumer == consumer for ear in self._ears.get(queue, ())):
                self._full.add((queue, consumer))
            missed = (queue, consumer) in self._woken
        if more or missed:
            self.wake(queue)

    def pass_on(self, consumer: str, queues: Sequence[str]) -> None:
        """A worker stops: whatever it was woken for goes to another."""
        for queue in queues:
            self.filled(queue, consumer, more=True)

    def tell(self, hints: Hints) -> None:
        """Pass on what a transaction did."""
        if hints.due_in_ms is not None and self.expect(hints.queue, hints.due_in_ms):
            # This process may end before it is due: a worker that looks now knows of it too.
            self.wake(hints.queue)
        for _ in range(min(hints.ready, _WOKEN_AT_ONCE)):
            self.wake(hints.queue)
        if hints.opened:
            self._wake_all(hints.queue)
        for dispatch_id, consumer in hints.cancelled:
            self._tell_cancel(hints.queue, dispatch_id, consumer)
        if hints.changed:
            self._tell_change(hints.queue)

    def expect(self, queue: str, due_in_ms: int) -> bool:
        """Something becomes due in that queue: wake somebody then. Whether nothing was known to be due before it."""
        at = time.monotonic() + due_in_ms / 1000
        with self._lock:
            known = self._due.get(queue)
            if known is None or at < known:
                self._due[queue] = at
                return True
            return False

    def ring_due(self) -> float | None:
        """Wake somebody for each queue where something is due; the seconds until the next, None where nothing is."""
        now = time.monotonic()
        with self._lock:
            due = [queue for queue, at in self._due.items() if at <= now]
            for queue in due:
                del self._due[queue]
            following = min(self._due.values(), default=None)
        for queue in due:
            self.wake(queue)
        return None if following is None else min(max(following - now, 0), _LONGEST_WAIT_S)

    def wake(self, queue: str, tried: Sequence[str] = ()) -> None:
        """Wake one listener that has use for a job, here or in another process."""
        others = [name for name in self._bell.names(WORK, queue) if name not in tried]
        with self._lock:
            ears = [ear for ear in self._ears.get(queue, ()) if ear.wants(queue)]
            mine = [ear for ear in ears if (queue, ear.consumer) not in self._full]
        message = Message(WORK, queue, tried=tuple(tried) if mine else (*tried, self._bell.name))
        while others or mine:
            pick = random.randrange(len(others) + len(mine))
            if pick < len(mine):
                if self._wake_ear(queue, mine.pop(pick)):
                    return
            elif self._bell.send(others.pop(pick - len(mine)), message):
                return
        # Nobody is known to be free; who was full when it last looked may not be so any more.
        random.shuffle(ears)
        any(self._wake_ear(queue, ear) for ear in ears)

    def receive(self, message: Message) -> None:
        """A message of another process."""
        match message.kind:
            case "w":
                # It has picked this process: others are looked for only where nobody here has use for it.
                if not self._wake_here(message.queue):
                    self.wake(message.queue, message.tried)
            case "a":
                self._wake_ears(message.queue)
            case "c":
                self._hear_cancel(message.queue, message.dispatch_id, message.consumer)
            case _:
                self._call_watchers(message.queue)

    # ----------------------------------------------------------------------------------------------------- in detail

    def _wake_here(self, queue: str) -> bool:
        """Wake one listener of this process that is known to be free; whether there was one."""
        with self._lock:
            ears = [
                ear for ear in self._ears.get(queue, ()) if (queue, ear.consumer) not in self._full and ear.wants(queue)
            ]
        if len(ears) > 1:
            random.shuffle(ears)
        return any(self._wake_ear(queue, ear) for ear in ears)

    def _wake_ear(self, queue: str, ear: Ear) -> bool:
        with self._lock:
            self._woken.add((queue, ear.consumer))
        return ear.hear(Signal(kind=SignalKind.WORK, queue=queue))

    def _wake_ears(self, queue: str) -> None:
        with self._lock:
            ears = list(self._ears.get(queue, ()))
        for ear in ears:
            self._wake_ear(queue, ear)

    def _wake_all(self, queue: str) -> None:
        self._wake_ears(queue)
        for name in self._bell.names(WORK, queue):
            self._bell.send(name, Message(ALL, queue))

    def _tell_cancel(self, queue: str, dispatch_id: str, consumer: str) -> None:
        if self._hear_cancel(queue, dispatch_id, consumer):
            return
        for name in self._bell.names(WORK, queue):
            self._bell.send(name, Message(CANCEL, queue, dispatch_id, consumer))

    def _hear_cancel(self, queue: str, dispatch_id: str, consumer: str) -> bool:
        with self._lock:
            ears = [ear for ear in self._ears.get(queue, ()) if ear.consumer == consumer]
        for ear in ears:
            ear.hear(Signal(kind=SignalKind.CANCEL, queue=queue, dispatch_id=dispatch_id))
        return bool(ears)

    def _tell_change(self, queue: str) -> None:
        self._call_watchers(queue)
        for name in self._bell.names(CHANGE, queue):
            self._bell.send(name, Message(CHANGE, queue))

    def _call_watchers(self, queue: str) -> None:
        with self._lock:
            watchers = list(self._watchers.get(queue, ()))
        for callback in watchers:
            callback()
