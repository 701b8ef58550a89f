"""Signals that come while there is no worker to heed them."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StoppedError(SystemExit):
    """Told to stop by a signal: the process tidies up and ends with the code."""


@contextmanager
def ending_at_once(code: int, numbers: Sequence[signal.Signals] = SIGNALS) -> Iterator[None]:
    """While the block runs, these signals end it with ``StoppedError`` of that exit code."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedError(code)

    former = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
