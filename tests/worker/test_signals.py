"""How signals are counted."""

import os
import signal
import threading
import time

from heracles.worker.signals import SAME_S, SignalWatch
from tests.waiting import eventually


async def test_a_signal_that_comes_twice_at_once_is_one() -> None:
    levels: list[int] = []
    with SignalWatch(levels.append):
        # As timeout(1) does, to the process and to its group.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: levels)
        time.sleep(2 * SAME_S)  # noqa: ASYNC251 - the time between two signals is what is tested
        assert levels == [1]
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: levels == [1, 2])
