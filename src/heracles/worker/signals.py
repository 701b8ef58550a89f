"""What tells a worker's process to end: SIGTERM, SIGINT, and the supervisor of its pool.

All of it is heard in a thread of its own, which no blocked event loop holds up.
"""

import contextlib
import logging
import math
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

logger = logging.getLogger("heracles.worker")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: The environment variable with the descriptor on which a pool's supervisor tells how often it was told to end: a byte
#: each time. Not a signal of its own: a terminal and systemd send theirs to supervisor and workers alike, and a
#: worker that got it from both would take it for the second one.
SUPERVISOR_FD = "HERACLES_SUPERVISOR_FD"


#: Signals within this time are one: a terminal, a supervisor or timeout(1) may send theirs to the process and to its
#: group, and nobody means by that to be in such a hurry.
SAME_S = 0.02


class SignalWatch:
    """While entered, SIGTERM and SIGINT call ``heard(how_many)`` in a thread of the watch, and have no other effect.

    So does what a supervisor tells; whichever has told more often counts. ``patience_s`` after the first one the
    second is taken as given. Outside the main thread, where Python lets nobody handle signals, it does nothing.
    """

    def __init__(self, heard: Callable[[int], None], patience_s: float | None = None) -> None:
        self._heard = heard
        self._patience_s = patience_s
        self._former: dict[signal.Signals, Any] = {}
        self._former_fd = -1

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            logger.info("signals are not handled here: this is not the main thread")
            return self
        read, self._write = socket.socketpair()
        self._write.setblocking(False)
        # The interpreter writes the number of a signal here at once, whatever the main thread is doing.
        self._former_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            self._former[number] = signal.signal(number, _ignore)
        watch = _Watch(read, _supervisor(), self._heard, self._patience_s, self._former_fd)
        threading.Thread(target=watch.run, name="heracles-signals", daemon=True).start()
        let_signals_in()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._former:
            return
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former.clear()
        signal.set_wakeup_fd(self._former_fd)
        # Ends the thread.
        self._write.close()


class _Watch:
    """The thread."""

    def __init__(
        self,
        signals: socket.socket,
        supervisor: int | None,
        heard: Callable[[int], None],
        patience_s: float | None,
        former_fd: int,
    ) -> None:
        self._signals = signals
        self._supervisor = supervisor
        self._heard = heard
        self._patience_s = patience_s
        self._former_fd = former_fd
        self._level = 0
        self._by_signal = 0
        self._signalled_at = -math.inf
        self._by_supervisor = 0

    def run(self) -> None:
        with self._signals:
            while self._wait():
                self._raise_to(max(self._by_signal, self._by_supervisor))

    def _wait(self) -> bool:
        """Until there is news; False when the watch is over."""
        sources: list[socket.socket | int] = [self._signals]
        if self._supervisor is not None:
            sources.append(self._supervisor)
        ready, _, _ = select.select(sources, (), (), self._patience_s if self._level == 1 else None)
        if not ready:
            logger.warning("what runs has not ended within the shutdown timeout")
            self._raise_to(2)
        if self._supervisor in ready:
            self._hear_supervisor(self._supervisor)
        return self._signals not in ready or self._hear_signals()

    def _hear_signals(self) -> bool:
        numbers = self._signals.recv(64)
        if any(number in SIGNALS for number in numbers) and time.monotonic() - self._signalled_at > SAME_S:
            self._by_signal += 1
            self._signalled_at = time.monotonic()
        self._pass_on(bytes(number for number in numbers if number not in SIGNALS))
        return bool(numbers)

    def _hear_supervisor(self, supervisor: int) -> None:
        told = os.read(supervisor, 64)
        self._by_supervisor += len(told)
        if not told:
            if not self._by_supervisor:
                logger.warning("the supervisor of this worker is gone")
                self._by_supervisor = 1
            os.close(supervisor)
            self._supervisor = None

    def _raise_to(self, level: int) -> None:
        while self._level < level:
            self._level += 1
            self._heard(self._level)

    def _pass_on(self, numbers: bytes) -> None:
        """Other signals go to whoever was told of them before."""
        if numbers and self._former_fd >= 0:
            with contextlib.suppress(OSError), socket.socket(fileno=self._former_fd) as former:
                try:
                    former.send(numbers)
                finally:
                    former.detach()


def _supervisor() -> int | None:
    """The descriptor on which a supervisor speaks, if there is one. What this process starts does not inherit it."""
    number = os.environ.pop(SUPERVISOR_FD, None)
    if number is None:
        return None
    os.set_inheritable(int(number), False)
    return int(number)


# A forked child inherits the descriptor, by which it would tell its own signals to the parent, and handlers that do
# nothing. Until it has let go of both, its signals wait.

#: By thread that forks: which signals it had blocked before.
_masks: dict[int, set[Any]] = {}


def _hold_signals() -> None:
    if is_watched():
        _masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _release_signals() -> None:
    mask = _masks.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _become_ordinary() -> None:
    """In a forked child: signals have their usual effect again."""
    if is_watched():
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _release_signals()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_become_ordinary)


def hold_signals() -> None:
    """Let SIGTERM and SIGINT wait until a watch is entered, or ``let_signals_in``: no handler must raise meanwhile."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def let_signals_in() -> None:
    """Those that waited come now; harmless when none were held."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def is_watched() -> bool:
    """Whether a watch is on in this process."""
    return signal.getsignal(signal.SIGINT) is _ignore


def _ignore(number: int, frame: FrameType | None) -> None:
    """The thread acts on it; this only takes the place of the usual effect."""
