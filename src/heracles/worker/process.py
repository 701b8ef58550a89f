"""The event loop of a process that is a worker and nothing else."""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from heracles.worker.signals import hold_signals, is_watched, let_signals_in

logger = logging.getLogger("heracles.worker")


def serve(main: Coroutine[Any, Any, bool], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
    """Run ``main`` to its end, as ``asyncio.run`` does, but for two things.

    A task that a job has left behind may raise SystemExit or KeyboardInterrupt, which leave the event loop: the loop
    goes on. And where ``main`` returns True (it was told to end by force) the process ends here and now: threads that
    jobs have left behind in the loop's default executor would hold it up.

    What imports have made is no garbage: the collector is told to pass it by. Going through it once held up the first
    jobs for 15 to 25 ms (measured), and an application of many modules is larger still.

    Signals wait until the worker heeds them: one that raised while the loop is made would leave it half made.
    """
    hold_signals()
    gc.freeze()
    try:
        _serve(main, loop_factory)
    finally:
        let_signals_in()


def _serve(main: Coroutine[Any, Any, bool], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        loop = runner.get_loop()
        ends_at_once = _run(loop, loop.create_task(main))
        if ends_at_once:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


def _run(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[bool]") -> bool:
    while True:
        try:
            return loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:
            # While the worker does not watch for signals, these come from one.
            if task.done() or not is_watched():
                raise
            logger.exception("a task that a job has left behind raised %s: the worker goes on", type(error).__name__)
