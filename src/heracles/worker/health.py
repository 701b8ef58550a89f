"""Whether the store answers: one log line when it is lost, one when it is back, and how long to wait between tries."""

import logging
import math
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
#: For so many seconds after it was said that a store is back, only a loss that lasts LASTING_S is worth a line: where
#: some calls go through and others do not (a disk that is almost full), lost and back follow each other in no time.
QUIET_S = 10.0
LASTING_S = 1.0


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
        self._back_at = -math.inf
        self._is_told = False

    @property
    def is_failing(self) -> bool:
        """Whether a call of some part failed and has not gone through since."""
        return bool(self._failing)

    def failed(self, part: str, error: Exception) -> None:
        """A part's call failed."""
        now = time.monotonic()
        with self._lock:
            if not self._failing:
                self._since = now
            self._failing.add(part)
            is_news = now > self._back_at + QUIET_S or now > self._since + LASTING_S
            is_to_tell = is_news and not self._is_told
            self._is_told |= is_to_tell
        if is_to_tell:
            away = isinstance(error, TransportUnavailableError)
            logger.error("%s %s, trying on: %s", self._store, "is away" if away else "refuses", error)

    def answered(self, part: str) -> None:
        """A part's call went through."""
        if part not in self._failing:
            return
        with self._lock:
            self._failing.discard(part)
            is_back = not self._failing
            was_told = is_back and self._is_told
            if was_told:
                self._is_told, self._back_at = False, time.monotonic()
        if was_told:
            logger.warning("%s is back after %.1f s", self._store, time.monotonic() - self._since)
        if is_back:
            self._is_back()
