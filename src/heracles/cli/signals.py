"""Signals that come before a worker is there to heed them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StoppedError(SystemExit):
    """Told to stop while starting: nothing has begun, so that the process just ends, with 0."""


@contextmanager
def ending_at_once() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGINT end it with ``StoppedError``."""
    former = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    raise StoppedError(0)
