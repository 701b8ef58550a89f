"""Watches, from a thread that no job can block: leases that end, an event loop that stands still, code that is deaf."""

import asyncio
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from heracles.worker.held import HeldJob, HeldJobs, Key

logger = logging.getLogger("heracles.worker")

#: From how many seconds on a blocked event loop is worth a warning; a block that lasts is told again at ten times that.
BLOCKED_S = 1.0
TOLD_AGAIN = 10.0
#: How many seconds code may take to end once it was told to, before that is worth a warning.
DEAF_S = 5.0


class LeaseWatch:
    """Finds jobs whose leases could not be renewed, shortly before another worker may start them."""

    def __init__(self, held: HeldJobs, lease_s: float, lost: Callable[[HeldJob], None]) -> None:
        self._held = held
        self._lost = lost
        #: What the code has to end in, before the store gives its job to somebody else.
        self._margin_s = lease_s / 10

    def check(self) -> None:
        """Stop those whose time is over."""
        now = time.monotonic()
        for job in self._held.renewable():
            if not job.ended and job.lease_until - self._margin_s <= now:
                logger.error("%s is stopped: its lease could not be renewed, so it may start elsewhere", job)
                self._lost(job)


class LoopWatch:
    """Finds code that blocks the worker's event loop, and names it.

    Made on that loop; ``check`` is called from another thread.
    """

    def __init__(self, held: HeldJobs) -> None:
        self._held = held
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._is_asked = False
        self._asked_at = 0.0
        self._told_from = BLOCKED_S

    def check(self) -> None:
        """Ask the loop for a sign of life, or warn when the last one is long overdue."""
        if not self._is_asked:
            if self._has_work():
                self._ask()
            return
        blocked_s = time.monotonic() - self._asked_at
        if blocked_s >= self._told_from:
            self._told_from *= TOLD_AGAIN
            self._tell(blocked_s)

    def _has_work(self) -> bool:
        return any(job.task is not None for job in self._held.all())

    def _ask(self) -> None:
        self._is_asked = True
        self._asked_at = time.monotonic()
        self._told_from = BLOCKED_S
        with contextlib.suppress(RuntimeError):  # the loop is closed, which others find out
            self._loop.call_soon_threadsafe(self._alive)

    def _alive(self) -> None:
        self._is_asked = False

    def _tell(self, blocked_s: float) -> None:
        frame = sys._current_frames().get(self._thread_id)
        if frame is None:
            return
        job = self._running_job()
        logger.warning(
            "%s has blocked the event loop for %.1f s at %s: nothing else in this worker goes on meanwhile; "
            "make its execute a plain def, which runs in a thread, or await",
            job or "something",
            blocked_s,
            _place(frame),
        )

    def _running_job(self) -> HeldJob | None:
        current = asyncio.current_task(self._loop)
        return next((job for job in self._held.all() if job.task is not None and job.task is current), None)


class DeafWatch:
    """Finds code that goes on although it was told to end, which keeps a slot, and counts it."""

    def __init__(self, held: HeldJobs) -> None:
        self._held = held
        #: Since when each is seen to go on, by time.monotonic(); infinite once it was told of.
        self._since: dict[Key, float] = {}

    def check(self) -> None:
        """Warn of each once."""
        now, held = time.monotonic(), self._held.all()
        stopped = [job for job in held if job.stop is not None and not job.ended]
        self._since = {job.key: self._since.get(job.key, now) for job in stopped}
        for job in stopped:
            if now - self._since[job.key] >= DEAF_S:
                self._since[job.key] = float("inf")
                self._tell(job, len(stopped), len(held))

    def _tell(self, job: HeldJob, deaf: int, held: int) -> None:
        assert job.stop is not None
        logger.warning(
            "%s goes on %.0f s after it was told to end (%s) and keeps its slot, one of %d such among %d running jobs: "
            "let its code look at self.cancelled",
            job,
            DEAF_S,
            job.stop.value,
            deaf,
            held,
        )


#: Where the code of async jobs is called from.
_CALLER = "heracles.worker.executor"


def _place(innermost: FrameType) -> str:
    """The line to look at: the innermost one in the file of the job, or the innermost of all."""
    frames = [innermost]
    while (caller := frames[-1].f_back) is not None and caller.f_globals.get("__name__") != _CALLER:
        frames.append(caller)
    job_file = frames[-1].f_code.co_filename
    frame = next((frame for frame in frames if frame.f_code.co_filename == job_file), innermost)
    return f"{frame.f_code.co_filename}, line {frame.f_lineno}, in {frame.f_code.co_name}"
