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
    """While the block runs, the first of these signals ends it with ``StoppedError`` of that exit code.

    Those that follow change nothing, nor do any after the block has come to its end: the process is about to end.
    """
    is_told = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal is_told
        if not is_told:
            is_told = True
            raise StoppedError(code)

    former = {number: signal.signal(number, stop) for number in numbers}
    has_ended = False
    try:
        yield
        has_ended = True
    finally:
        for number, handler in former.items():
            # Not by a handler of our own: the interpreter takes these away before it has ended.
            signal.signal(number, signal.SIG_IGN if has_ended or is_told else handler)
