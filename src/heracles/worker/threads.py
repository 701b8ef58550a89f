"""Threads for jobs that are not async."""

import itertools
import threading
from collections.abc import Callable
from queue import SimpleQueue


class ThreadPool:
    """As many threads as there are calls under way at once; idle ones are used again.

    Not ``concurrent.futures``: its threads hold up the end of the process until the last call has returned, and a job
    that never ends must not. These are daemons.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._threads = 0
        self._numbers = itertools.count(1)

    def submit(self, call: Callable[[], None]) -> None:
        """Have a thread call it at once. ``call`` must not raise."""
        with self._lock:
            must_grow = self._idle == 0
            if must_grow:
                self._threads += 1
            else:
                self._idle -= 1
        self._calls.put(call)
        if must_grow:
            name = f"heracles-job-{next(self._numbers)}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def close(self) -> None:
        """Idle threads end now, busy ones when their calls return."""
        with self._lock:
            threads, self._threads = self._threads, 0
        for _ in range(threads):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            with self._lock:
                self._idle += 1
