"""Time and ids: epoch milliseconds, ISO 8601 as the wire format has it, time-ordered identifiers."""

import math
import os
import threading
import time
from datetime import UTC, datetime, timedelta

from heracles.errors import OptionError, shown

# In ASCII order, so that ids sort as their numbers do.
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# 62**7 ms last until the year 2081.
TIME_DIGITS = 7
# 62**9 is about 2**53: two processes that start an id in the same millisecond collide once in 10**16 times.
RANDOM_DIGITS = 9
RANDOM_SPAN = 62**RANDOM_DIGITS
JOB_PREFIX = "job_"
DISPATCH_PREFIX = "dispatch_"

#: The first and the last moment for which something can be scheduled: dates in the years 1 to 9999, the last one also
#: in time zones ahead of UTC.
EARLIEST_MS = -62_135_596_800_000
LATEST_MS = 253_402_214_399_999

#: The longest time to wait, about 30 years; more is likely a mistake in the unit.
LONGEST_WAIT_S = 1_000_000_000

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_MS = timedelta(milliseconds=1)
ONE_SECOND = timedelta(seconds=1)


def now_ms() -> int:
    """This machine's clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000


#: Two digits, ready made. One process's ids run on, and seldom differ in more than the last two.
PAIRS = [high + low for high in ALPHABET for low in ALPHABET]


def base62(number: int, digits: int) -> str:
    """``number`` in base 62, exactly ``digits`` long; higher digits are dropped."""
    text = ""
    for _ in range(digits // 2):
        number, rest = divmod(number, len(PAIRS))
        text = PAIRS[rest] + text
    return ALPHABET[number % 62] + text if digits % 2 else text


class IdSource:
    """Makes the shared part X of ``job_X`` and ``dispatch_X``: 16 characters, rising within a process, thread-safe."""

    def __init__(self) -> None:
        self._reset()
        # A child that went on counting where its parent stood would make its parent's ids again.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._ms = 0
        self._time = ""
        self._next = 0
        #: What ids from ``first`` on have in common, up to their last two digits.
        self._first: int = RANDOM_SPAN
        self._stem = ""

    def __call__(self) -> str:
        """The next one."""
        ms = now_ms()
        with self._lock:
            # A clock that was set back goes on counting from where it was.
            if ms > self._ms:
                self._start(ms)
            at = self._next - self._first
            if not 0 <= at < len(PAIRS):
                at = self._turn()
            self._next += 1
            return self._stem + PAIRS[at]

    def many(self, count: int) -> list[str]:
        """The next ones, at a tenth of the cost."""
        made = [self()] if count > 0 else []
        with self._lock:
            while len(made) < count:
                at = self._turn()
                pairs = PAIRS[at : at + count - len(made)]
                made += [self._stem + pair for pair in pairs]
                self._next += len(pairs)
        return made

    def _start(self, ms: int) -> None:
        self._ms, self._time = ms, base62(ms, TIME_DIGITS)
        # Taken from 64 bits, of which no number is likelier than another by more than a two-thousandth.
        self._next = int.from_bytes(os.urandom(8)) % (RANDOM_SPAN // 2)
        self._first = RANDOM_SPAN

    def _turn(self) -> int:
        """To the stem of the next id; returns the number of its pair."""
        # A full millisecond goes on in the next one.
        if self._next >= RANDOM_SPAN:
            self._start(self._ms + 1)
        stem_number, at = divmod(self._next, len(PAIRS))
        self._first, self._stem = self._next - at, self._time + base62(stem_number, RANDOM_DIGITS - 2)
        return at


new_id = IdSource()


def to_datetime(ms: int | None) -> datetime | None:
    """Epoch milliseconds as an aware UTC datetime; what somebody has put beyond all dates becomes the nearest one."""
    return None if ms is None else EPOCH + timedelta(milliseconds=min(max(ms, EARLIEST_MS), LATEST_MS))


def from_datetime(value: datetime) -> int:
    """An aware datetime in epoch milliseconds, rounded up, so that nothing starts before it.

    Raises:
        OptionError: the datetime has no time zone.
    """
    if value.tzinfo is None or value.utcoffset() is None:
        raise OptionError(f"{value!r} has no time zone: use datetime.now(UTC) or give it a tzinfo")
    return -((EPOCH - value) // ONE_MS)


def to_iso(ms: int) -> str:
    """Epoch milliseconds as ISO 8601 in UTC with milliseconds and ``Z``."""
    return (EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def from_iso(text: str) -> int:
    """ISO 8601 with a zone to epoch milliseconds.

    Raises:
        ValueError: not an ISO 8601 time, or one without a zone.
    """
    return from_datetime(datetime.fromisoformat(text))


def milliseconds(value: int | float | timedelta) -> int:
    """A plain number of milliseconds, or a timedelta, in whole milliseconds, rounded up."""
    return whole(value, ONE_MS) if isinstance(value, timedelta) else -int(-value // 1)


def whole(value: timedelta, unit: timedelta) -> int:
    """How many units it takes, rounded up."""
    count, rest = divmod(value, unit)
    return count + bool(rest)


def waiting_time(value: int | float | timedelta | None) -> float | None:
    """How long a caller is willing to wait, in seconds: a plain number, or a timedelta. None is without end.

    Raises:
        OptionError: it is neither, or not a number.
    """
    if isinstance(value, timedelta):
        return value / ONE_SECOND
    if value is None or value == math.inf:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LONGEST_WAIT_S:
        raise OptionError(
            f"timeout={shown(value)} is not allowed: give seconds, a timedelta, or None to wait without end"
        )
    return float(value)
