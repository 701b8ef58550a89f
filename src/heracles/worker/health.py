"""Whether the store answers: one log line when it is lost, one when it is back, and how long to wait between tries."""

import logging
import random
import threading
import time
from collections.abc import Callable

from heracles.errors import TransportUnavailableError

logger = logging.getLogger("heracles.worker")

#: Seconds before the first repetition, and the most before later ones: a store that is back is found within a second,
#: and a hundred workers do not keep it down.
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0


def pause_s(attempt: int, longest_s: float = LONGEST_PAUSE_S) -> float:
    """How long to wait after so many failures in a row, 1 or more: doubling, with jitter."""
    pause = min(longest_s, FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 16))
    return pause * random.uniform(0.5, 1.0)


class StoreHealth:
    """What a worker's parts, each under a name, find when they call the store. Thread-safe."""

    def __init__(self, store: str, is_back: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._is_back = is_back
        self._lock = threading.Lock()
        self._failing: set[str] = set()
        self._since = 0.0

    @property
    def is_failing(self) -> bool:
        """Whether a call of some part failed and has not gone through since."""
        return bool(self._failing)

    def failed(self, part: str, error: Exception) -> None:
        """A part's call failed."""
        with self._lock:
            is_first = not self._failing
            self._failing.add(part)
            if is_first:
                self._since = time.monotonic()
        if is_first:
            away = isinstance(error, TransportUnavailableError)
            logger.error("%s %s, trying on: %s", self._store, "is away" if away else "refuses", error)

    def answered(self, part: str) -> None:
        """A part's call went through."""
        if part not in self._failing:
            return
        with self._lock:
            self._failing.discard(part)
            is_back = not self._failing
        if is_back:
            logger.warning("%s is back after %.1f s", self._store, time.monotonic() - self._since)
            self._is_back()
