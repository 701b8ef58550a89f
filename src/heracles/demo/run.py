"""The demo from start to end: dispatch, run, watch, sum up, leave nothing behind."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from heracles.demo.jobs import QUEUE, Audit, CountSource, CountUnreliably
from heracles.demo.pool import DemoPool
from heracles.demo.progress import finished, open_view
from heracles.demo.sources import Sources, find_sources
from heracles.demo.summary import Outcome, summary
from heracles.model import JobInfo, Value
from heracles.queue import JobHandle, Queue
from heracles.wiring import transport_from_url

#: Far more than the slowest machine needs; a demo that hangs should say so.
_LONGEST_S = 300
_LOOK_EVERY_S = 0.1
_LATER = timedelta(seconds=2)
_FIRST = 5
"""The priority of large files, ahead of the usual 10."""
_AT_ONCE = 0
"""That of the job for later, ahead of all that waits when its time has come."""

Handle = JobHandle[Any]


class DemoFailedError(Exception):
    """The jobs did not all come to their end.

    Attributes:
        log: the last lines that the workers wrote.
    """

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


class Dispatched(Value, frozen=True, kw_only=True):
    """What was dispatched: the handles of each kind."""

    plain: Sequence[Handle]
    unreliable: Handle
    later: Handle
    later_due: datetime
    audits: Sequence[Handle]

    @property
    def all(self) -> Sequence[Handle]:
        """All of them."""
        return (*self.plain, self.unreliable, self.later, *self.audits)


def run_demo() -> bool:
    """Show it; whether every job COMPLETED.

    Raises:
        DemoFailedError: the workers ended or hung.
    """
    with TemporaryDirectory(prefix="heracles-demo-") as directory:
        return asyncio.run(_show(Path(directory)))


async def _show(directory: Path) -> bool:
    url = f"sqlite:///{directory / 'heracles.db'}"
    queue = Queue.get(QUEUE, transport=transport_from_url(url))
    try:
        return await _run(queue, find_sources(), directory, url)
    finally:
        await queue.transport.close()


async def _run(queue: Queue, sources: Sources, directory: Path, url: str) -> bool:
    print(f"One job for each of the {sources.count} source files in {sources.folder}, for two worker processes.\n")
    started = time.monotonic()
    dispatched = await dispatch_all(queue, sources)
    print(f"{len(dispatched.all)} jobs dispatched in {time.monotonic() - started:.2f} s", flush=True)
    async with DemoPool(directory, url) as pool:
        started = time.monotonic()
        await _watch(queue, pool, len(dispatched.all))
        seconds = time.monotonic() - started
    outcome = Outcome(
        sources=sources,
        seconds=seconds,
        plain=await _infos(dispatched.plain),
        unreliable=await dispatched.unreliable.info(),
        later=await dispatched.later.info(),
        later_due=dispatched.later_due,
        audits=await _infos(dispatched.audits),
    )
    print("\n" + summary(outcome))
    return outcome.is_complete


async def dispatch_all(queue: Queue, sources: Sources) -> Dispatched:
    """Every job of the demo, the long ones ahead by priority."""
    due = datetime.now(UTC) + _LATER
    large = await queue.dispatch_many([CountSource(str(path)) for path in sources.large], priority=_FIRST)
    small = await queue.dispatch_many([CountSource(str(path)) for path in sources.small])
    return Dispatched(
        plain=(*large, *small),
        unreliable=await queue.dispatch(CountUnreliably(str(sources.unreliable)), priority=_FIRST),
        later=await queue.dispatch(CountSource(str(sources.later)), scheduled_for=due, priority=_AT_ONCE),
        later_due=due,
        audits=await queue.dispatch_many([Audit(str(sources.folder)), Audit(str(sources.folder))]),
    )


async def _watch(queue: Queue, pool: DemoPool, total: int) -> None:
    end = time.monotonic() + _LONGEST_S
    view = open_view(total)
    try:
        while True:
            counts = await queue.counts()
            view.show(counts)
            if finished(counts) >= total:
                return
            if pool.has_ended or time.monotonic() > end:
                what = "ended" if pool.has_ended else f"needed more than {_LONGEST_S} s"
                raise DemoFailedError(f"the workers {what} before all jobs were done", pool.last_lines)
            await asyncio.sleep(_LOOK_EVERY_S)
    finally:
        view.close()


async def _infos(handles: Sequence[Handle]) -> Sequence[JobInfo]:
    return [await handle.info() for handle in handles]
