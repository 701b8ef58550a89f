"""A worker pool: several worker processes, started again when they die."""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from heracles.worker.signals import SUPERVISOR_FD, SignalWatch

logger = logging.getLogger("heracles.worker")

#: Seconds that a process has to live so that its death counts as the first one again.
PROVEN_S = 10.0
#: Seconds before a process that died at once is started again, and the most after it did so again and again.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
#: With these codes a command ends that cannot work, or not now, because of how it was called: see ``heracles work``.
REFUSALS = (1, 2)
#: Codes of a process that has ended as it was told, also by a signal that came in its start-up.
ORDERLY = (0, -signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT)
#: Seconds that processes have to exit in after a second signal; they promise 5.
EXIT_S = 6.0


class _Ended(NamedTuple):
    """A process has ended."""

    seat: "_Seat"


class _Told(NamedTuple):
    """The supervisor was told to end, so many times."""

    level: int


class _Seat:
    """One process after the other under one command."""

    def __init__(self, number: int, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.starts_at: float | None = time.monotonic()
        self.lives = 0
        self.quick_deaths = 0
        self._command = list(command)
        self._environment = dict(environment)
        self._started_at = 0.0
        self._teller: int | None = None

    def start(self, ended: SimpleQueue[_Ended | _Told]) -> None:
        """Start the process; its end is told to ``ended``."""
        self.starts_at = None
        self.lives += 1
        self._started_at = time.monotonic()
        reader, self._teller = os.pipe()
        try:
            self.process = subprocess.Popen(
                self._command, env={**self._environment, SUPERVISOR_FD: str(reader)}, pass_fds=(reader,)
            )
        finally:
            os.close(reader)
        threading.Thread(target=self._wait, args=(self.process, ended), daemon=True).start()

    def tell(self) -> None:
        """Tell the process to end, a first or a second time."""
        if self._teller is not None:
            try:
                os.write(self._teller, b"!")
            except BrokenPipeError:
                logger.debug("worker process %d had ended", self.number)

    def kill(self) -> None:
        """End it."""
        if self.process is not None:
            logger.error("worker process %d (pid %d) does not end: it is killed", self.number, self.process.pid)
            self.process.kill()

    def bury(self) -> int:
        """It has ended: its exit code, negative for a signal."""
        assert self.process is not None
        code = self.process.wait()
        self.process = None
        if self._teller is not None:
            os.close(self._teller)
            self._teller = None
        self.quick_deaths = self.quick_deaths + 1 if self.lived_s < PROVEN_S else 0
        return code

    @property
    def lived_s(self) -> float:
        """For how long its process has lived."""
        return time.monotonic() - self._started_at

    def _wait(self, process: subprocess.Popen[bytes], ended: SimpleQueue[_Ended | _Told]) -> None:
        process.wait()
        ended.put(_Ended(self))


class Pool:
    """Runs each command in a process of its own, until told to end.

    A process that dies is started again: at once, or when it died within 10 s, after a pause that grows up to 30 s.
    SIGTERM and SIGINT are handed on to the processes, the second one too; what has not exited 6 s after that is killed.

    Args:
        commands: one for each process, each a program with its arguments.
        environment: of the processes; this one's when left out.
    """

    def __init__(self, commands: Sequence[Sequence[str]], environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        self._seats = [_Seat(number, command, given) for number, command in enumerate(commands, 1)]
        self._news: SimpleQueue[_Ended | _Told] = SimpleQueue()
        self._level = 0
        self._kill_at: float | None = None
        self._code = 0

    def run(self) -> int:
        """Returns the exit code when all processes have ended: 0 when they did so in order.

        A process whose first life ends at once with 1 or 2 has told why it cannot work: that ends the pool too.
        """
        with SignalWatch(lambda level: self._news.put(_Told(level))):
            while self._start_due() or any(seat.process for seat in self._seats):
                self._heed(self._next_news())
        return self._code

    def _start_due(self) -> bool:
        """Start what is due; whether something is yet to be started."""
        if self._level:
            return False
        for seat in self._seats:
            if seat.starts_at is not None and seat.starts_at <= time.monotonic():
                seat.start(self._news)
        return any(seat.starts_at is not None for seat in self._seats)

    def _next_news(self) -> _Ended | _Told | None:
        times = [seat.starts_at for seat in self._seats if seat.starts_at is not None and not self._level]
        if self._kill_at is not None:
            times.append(self._kill_at)
        try:
            return self._news.get(timeout=max(0.0, min(times) - time.monotonic()) if times else None)
        except Empty:
            return None

    def _heed(self, news: _Ended | _Told | None) -> None:
        match news:
            case _Ended(seat):
                self._ended(seat, seat.bury())
            case _Told(level):
                self._tell(level)
            case None if self._kill_at is not None and self._kill_at <= time.monotonic():
                self._kill_at = None
                for seat in self._seats:
                    seat.kill()

    def _ended(self, seat: _Seat, code: int) -> None:
        if self._level:
            self._code = self._code or _code_after_told(code)
        elif seat.lives == 1 and code in REFUSALS and seat.lived_s < PROVEN_S:
            self._code = code
            self._tell(1)
        else:
            pause = min(FIRST_PAUSE_S * 2.0 ** (seat.quick_deaths - 1), LONGEST_PAUSE_S) if seat.quick_deaths else 0.0
            seat.starts_at = time.monotonic() + pause
            again = f"again in {pause:.1f} s" if pause else "again now"
            logger.warning("worker process %d ended with %s, it starts %s", seat.number, _shown(code), again)

    def _tell(self, level: int) -> None:
        self._level = max(self._level, level)
        if level > 1:
            self._kill_at = time.monotonic() + EXIT_S
        for seat in self._seats:
            seat.tell()


def _code_after_told(code: int) -> int:
    """The pool's exit code for a process that was told to end. One that a signal to all reached before it was ready
    for it has ended in order too."""
    if code in ORDERLY:
        return 0
    return code if code > 0 else 1


def _shown(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
