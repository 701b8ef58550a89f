"""One dispatch in the hands of who made it."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar, cast

from heracles.errors import JobCancelledError, JobFailedError, JobNotFoundError, ResultTimeoutError, TransportError
from heracles.model import JobInfo, JobStatus, Record
from heracles.portal import PORTAL
from heracles.queue.client import QueueClient
from heracles.queue.info import info_of, result_of
from heracles.units import waiting_time

R = TypeVar("R")

#: Seconds after which a waiting handle looks by itself: hints may be missed.
LOOK_AGAIN_S = 10.0
#: Seconds that ``result`` has for its first look, also with ``timeout=0``.
FIRST_LOOK_S = 1.0
#: Seconds that it takes in the end, at most, to say where the job stands.
LAST_LOOK_S = 0.5


class HasDispatchId(Protocol):
    """A handle of either form."""

    @property
    def dispatch_id(self) -> str:
        """The dispatch that it stands for."""
        ...


class JobHandle(Generic[R]):
    """One dispatch: ask for its status, wait for its result, cancel it. ``R`` is what the job returns."""

    __slots__ = ("_client", "dispatch_id", "job_id")

    def __init__(self, client: QueueClient, job_id: str, dispatch_id: str) -> None:
        self._client = client
        self.job_id = job_id
        self.dispatch_id = dispatch_id

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self._client.name

    @property
    def sync(self) -> "SyncJobHandle[R]":
        """The same without await, for threads that have no running event loop."""
        return SyncJobHandle(self)

    async def status(self) -> JobStatus:
        """Where it stands.

        Raises:
            JobNotFoundError: its record is gone.
        """
        return (await self._record()).status

    async def info(self) -> JobInfo:
        """All that is known of it.

        Raises:
            JobNotFoundError: its record is gone.
        """
        return info_of(await self._record())

    async def result(self, timeout: float | timedelta | None = None) -> R:
        """Wait for its end, at most ``timeout`` seconds, and return what the job returned.

        Raises:
            JobFailedError: it ended FAILED; has the error and the traceback.
            JobCancelledError: it ended CANCELLED.
            ResultTimeoutError: it has not ended in time; it may still. Also a TimeoutError.
            JobNotFoundError: its record is gone.
            ResultError: what is stored as its result is no JSON: another program has put it there.
        """
        limit_s = waiting_time(timeout)
        limit = asyncio.timeout(None if limit_s is None else max(limit_s, FIRST_LOOK_S))
        try:
            async with limit:
                record = await self._ended(limit, limit_s)
        except TimeoutError:
            if not limit.expired():
                raise
            # Below it there is only how the waiting is done.
            raise ResultTimeoutError(f"{self!r} has not ended within {limit_s:g} s{await self._last_seen()}") from None
        return cast("R", _outcome(record))

    async def cancel(self) -> bool:
        """Cancel it; True means that it ends CANCELLED, also when its completion races the call."""
        return (await self._client.call(lambda t: t.cancel(self.queue, [self.dispatch_id])))[0]

    async def _ended(self, limit: asyncio.Timeout, limit_s: float | None) -> Record:
        started = asyncio.get_running_loop().time()
        async with self._client.watcher.watching(self.dispatch_id) as hint:
            while True:
                # Cleared before the look, so that what happens during it counts.
                hint.clear()
                record = await self._record()
                if record.status.is_final:
                    return record
                if limit_s is not None:
                    limit.reschedule(started + limit_s)
                await _wait(hint, LOOK_AGAIN_S * random.uniform(0.75, 1.25))

    async def _last_seen(self) -> str:
        """Its status, for who has waited in vain: looked up, for hints tell of ends only."""
        seen = ""
        with suppress(TimeoutError, TransportError, JobNotFoundError):
            async with asyncio.timeout(LAST_LOOK_S):
                status = await self.status()
                seen = f": it is {status}"
                if status is JobStatus.PENDING and not await self._is_served():
                    seen += f" and no live worker serves queue {self.queue!r}"
        return seen

    async def _is_served(self) -> bool:
        workers = await self._client.call(lambda transport: transport.workers())
        return any(self.queue in worker.queues for worker in workers)

    async def _record(self) -> Record:
        record = await self._client.find(self.dispatch_id)
        if record is None:
            raise JobNotFoundError(f"{self!r} has no record: it expired or was cleaned up")
        return record

    def __repr__(self) -> str:
        return f"JobHandle(queue={self.queue!r}, job_id={self.job_id!r}, dispatch_id={self.dispatch_id!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JobHandle):
            return NotImplemented
        return (self.queue, self.dispatch_id) == (other.queue, other.dispatch_id)

    def __hash__(self) -> int:
        return hash((self.queue, self.dispatch_id))


class SyncJobHandle(Generic[R]):
    """A ``JobHandle`` whose methods are called without await, in threads that have no running event loop."""

    __slots__ = ("awaited",)

    def __init__(self, awaited: JobHandle[R]) -> None:
        self.awaited = awaited
        """The handle with the methods to await."""

    @property
    def job_id(self) -> str:
        """Equal ids are the same job for overlap control."""
        return self.awaited.job_id

    @property
    def dispatch_id(self) -> str:
        """Names this dispatch."""
        return self.awaited.dispatch_id

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self.awaited.queue

    def status(self) -> JobStatus:
        """As ``JobHandle.status``."""
        return PORTAL.run(self.awaited.status, awaited="await handle.status()")

    def info(self) -> JobInfo:
        """As ``JobHandle.info``."""
        return PORTAL.run(self.awaited.info, awaited="await handle.info()")

    def result(self, timeout: float | timedelta | None = None) -> R:
        """As ``JobHandle.result``."""
        return PORTAL.run(self.awaited.result, timeout, awaited="await handle.result()")

    def cancel(self) -> bool:
        """As ``JobHandle.cancel``."""
        return PORTAL.run(self.awaited.cancel, awaited="await handle.cancel()")

    def __repr__(self) -> str:
        return f"Sync{self.awaited!r}"

    def __eq__(self, other: object) -> bool:
        return self.awaited == other.awaited if isinstance(other, SyncJobHandle) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.awaited)


async def _wait(hint: asyncio.Event, longest_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            await hint.wait()


def _outcome(record: Record) -> Any:
    named = f"{record.name} {record.dispatch_id}"
    if record.status is JobStatus.CANCELLED:
        raise JobCancelledError(f"{named} was cancelled")
    if record.status is JobStatus.FAILED:
        failed = JobFailedError(f"{named} failed: {record.error}", error=record.error or "", traceback=record.traceback)
        if record.traceback:
            failed.add_note(f"In the worker:\n{record.traceback}")
        raise failed
    return result_of(record)
