"""Whether the machine lets a worker's process run: one that gets no processor for long is frozen, whoever did it."""

import threading
import time
from collections.abc import Callable

from heracles.units import now_ms
from tests.history import Disturbed
from tests.history.events import FROZEN

_LOOK_S = 0.05

Note = Callable[[Disturbed], None]


class StallWatch:
    """Writes down each moment longer than ``longest_s`` in which a thread of this process that had only to sleep was
    not woken, while the process as a whole computed for less than half of it.

    A process that holds up its own threads is not excused: that is its own doing, and must not cost it its leases.
    """

    def __init__(self, worker: str, longest_s: float, note: Note) -> None:
        self._worker, self._longest_s, self._note = worker, longest_s, note

    def start(self) -> None:
        """Look until the process ends."""
        threading.Thread(target=self._run, name="stalls", daemon=True).start()

    def _run(self) -> None:
        while True:
            since, computed, since_ms = time.monotonic(), time.process_time(), now_ms()
            time.sleep(_LOOK_S)
            slept_s, computed_s = time.monotonic() - since, time.process_time() - computed
            if is_stall(slept_s, computed_s, self._longest_s):
                self._note(Disturbed(worker=self._worker, how=FROZEN, from_ms=since_ms, until_ms=now_ms()))


def is_stall(slept_s: float, computed_s: float, longest_s: float) -> bool:
    """Whether a thread slept for so long because its process, which computed for so long meanwhile, was not let run."""
    return slept_s > longest_s and computed_s < slept_s / 2
