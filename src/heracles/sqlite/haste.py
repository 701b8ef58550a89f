"""While a transaction is under way and others are told of it, this process's busy threads give way sooner."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Each statement hands the interpreter's lock to other threads. One of them that computes keeps it for the switch
#: interval, 5 ms by default: a transaction of 15 statements then held the database for 50 to 160 ms, measured with one
#: such thread, while every other process waited. With this interval it is 3 to 10 ms.
_INTERVAL_S = 0.0001


class Haste:
    """Shortens the interpreter's switch interval while any transaction is under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._usual = 0.0
        self._shortened = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Within this block, other threads give way sooner."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    def _begin(self) -> None:
        with self._lock:
            self._under_way += 1
            if self._under_way == 1:
                self._usual = sys.getswitchinterval()
                if self._usual > _INTERVAL_S:
                    sys.setswitchinterval(_INTERVAL_S)
                self._shortened = sys.getswitchinterval()

    def _end(self) -> None:
        with self._lock:
            self._under_way -= 1
            # Whoever has set another one meanwhile knows better.
            if self._under_way == 0 and sys.getswitchinterval() == self._shortened:
                sys.setswitchinterval(self._usual)
