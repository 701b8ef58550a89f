"""How a worker ends: in order, by force, or with its process."""

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import wait

from heracles.worker.executor import Executor
from heracles.worker.held import HeldJob, Stop
from heracles.worker.link import Link

logger = logging.getLogger("heracles.worker")

#: Seconds that code has to end in when a worker is stopped by force.
FORCE_PATIENCE_S = 3.0
#: Seconds from a second signal on: until an event loop that gives no sign counts as blocked, until what has not ended
#: is given back, until that has to be done, and until the process ends whatever happens. Below the 5 that are promised.
SIGN_OF_LIFE_S = 1.0
LEAVE_AT_S = 3.5
GIVEN_BACK_AT_S = 4.5
EXIT_AT_S = 4.7


async def end_jobs(
    links: Sequence[Link], executor: Executor, forced: asyncio.Event, patience_s: float | None
) -> Sequence[HeldJob]:
    """Let what runs finish; stop it when ``forced``, or after ``patience_s``. The links are closed already.

    Returns:
        What has not ended in spite of having been stopped.
    """
    all_done = asyncio.gather(*(link.until_done() for link in links))
    if not await _first(all_done, forced, patience_s):
        await _stop_jobs(links, executor, all_done)
    all_done.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await all_done
    return _held(links)


async def _first(all_done: "asyncio.Future[list[None]]", forced: asyncio.Event, patience_s: float | None) -> bool:
    """Whether all was done before there was a reason to use force."""
    force = asyncio.ensure_future(forced.wait())
    await asyncio.wait((all_done, force), timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
    force.cancel()
    return all_done.done()


async def _stop_jobs(links: Sequence[Link], executor: Executor, all_done: "asyncio.Future[list[None]]") -> None:
    for link in links:
        link.give_back()
    # Twice: a task may have swallowed the first cancellation.
    for _ in range(2):
        for job in _held(links):
            executor.stop(job, Stop.RETURNED)
        await asyncio.wait((all_done,), timeout=FORCE_PATIENCE_S / 2)


def _held(links: Iterable[Link]) -> Sequence[HeldJob]:
    return [job for link in links for job in link.held()]


def exit_unless(has_stopped: threading.Event, loop: asyncio.AbstractEventLoop, links: Sequence[Link]) -> None:
    """End the process if its worker has not stopped in time after a second signal.

    Runs in a thread of its own: the event loop may be blocked for good.
    """
    began = time.monotonic()
    # Should anything below hang, a lock of the logging module held by blocked code for instance.
    guard = threading.Timer(EXIT_AT_S, os._exit, (1,))
    guard.daemon = True
    guard.start()
    if _gives_sign(loop) and has_stopped.wait(began + LEAVE_AT_S - time.monotonic()):
        guard.cancel()
        return
    code = 1
    try:
        if _give_back(tuple(links), began + GIVEN_BACK_AT_S):
            code = 0
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _gives_sign(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the event loop is alive, or closed because all is over."""
    is_alive = threading.Event()
    try:
        loop.call_soon_threadsafe(is_alive.set)
    except RuntimeError:
        return True
    return is_alive.wait(SIGN_OF_LIFE_S)


def _give_back(links: Sequence[Link], deadline: float) -> bool:
    """Whether the stores have taken back all that the process had."""
    answers = [link.leave() for link in links]
    done, _ = wait(answers, deadline - time.monotonic())
    errors = [error for answer in done if (error := answer.exception()) is not None]
    is_clean = len(done) == len(answers) and not errors
    if not is_clean:
        logger.error("what was running could not be given back, and starts anew when its lease ends: %s", errors)
    return is_clean
