"""How a worker ends: in order, by force, or with its process."""

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import wait

from heracles.worker.executor import Executor
from heracles.worker.held import HeldJob, Stop
from heracles.worker.link import Link

logger = logging.getLogger("heracles.worker")

#: Seconds that code has to end in when a worker is stopped by force.
FORCE_PATIENCE_S = 3.0
#: Seconds from a second signal to the end of the process, whatever blocks it, and those that giving back may take of
#: them. Below the 5 that are promised.
EXIT_AFTER_S = 3.5
GIVE_BACK_S = 1.0


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


def exit_unless(has_stopped: threading.Event, links: Sequence[Link]) -> None:
    """End the process if its worker has not stopped in time after a second signal.

    Runs in a thread of its own: the event loop may be blocked for good.
    """
    if has_stopped.wait(EXIT_AFTER_S):
        return
    # Should anything below hang, a lock of the logging module held by blocked code for instance.
    guard = threading.Timer(GIVE_BACK_S + 0.2, os._exit, (1,))
    guard.daemon = True
    guard.start()
    is_clean = _give_back(links)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0 if is_clean else 1)


def _give_back(links: Sequence[Link]) -> bool:
    """Whether the stores have taken back all that the process had."""
    answers = [link.leave() for link in links]
    done, _ = wait(answers, GIVE_BACK_S)
    errors = [answer.exception() for answer in done]
    is_clean = len(done) == len(answers) and not any(errors)
    if not is_clean:
        logger.error("what was running could not be given back, and starts anew when its lease ends: %s", errors)
    return is_clean
