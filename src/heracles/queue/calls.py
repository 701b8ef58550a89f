"""What can be done with a queue, awaited."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any, TypeVar, Unpack, overload

import msgspec

from heracles.errors import JobNotFoundError, OptionError, QueueDrainingError, ResultTimeoutError, TransportError, shown
from heracles.job import Job, current_run
from heracles.model import Envelope, JobEvent, JobInfo, JobStatus, Overview, Record, Storing, WorkerInfo
from heracles.options import check_id
from heracles.queue.client import QueueClient
from heracles.queue.envelopes import (
    AsyncClass,
    AsyncFunction,
    DispatchOptions,
    ThreadClass,
    ThreadFunction,
    envelope_of,
    envelopes_of,
)
from heracles.queue.handle import HasDispatchId, JobHandle
from heracles.queue.info import event_of, info_of
from heracles.queue.workers import live_workers
from heracles.units import DISPATCH_PREFIX, new_id, waiting_time

R = TypeVar("R")

#: Seconds between two looks at a queue that is drained, however many jobs end meanwhile.
DRAIN_LOOK_S = 0.05
#: The most records that ``jobs`` returns.
LONGEST_PAGE = 100_000


class QueueCalls:
    """The awaited methods of a queue. All act on every producer and worker of it, wherever they run.

    While the store is away each repeats its call for up to ``dispatch_timeout``, then it raises TransportError.
    """

    def __init__(self, client: QueueClient) -> None:
        self._client = client

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._client.name

    # ----------------------------------------------------------------------------------------------- dispatching

    @overload
    async def dispatch(
        self, job: AsyncClass[R], args: Sequence[Any] | None = None, *,
        kwargs: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions],
    ) -> JobHandle[R]: ...  # fmt: skip
    @overload
    async def dispatch(
        self, job: ThreadClass[R], args: Sequence[Any] | None = None, *,
        kwargs: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions],
    ) -> JobHandle[R]: ...  # fmt: skip
    @overload
    async def dispatch(
        self, job: AsyncFunction[R], args: Sequence[Any] | None = None, *,
        kwargs: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions],
    ) -> JobHandle[R]: ...  # fmt: skip
    @overload
    async def dispatch(
        self, job: ThreadFunction[R], args: Sequence[Any] | None = None, *,
        kwargs: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions],
    ) -> JobHandle[R]: ...  # fmt: skip
    async def dispatch(
        self,
        job: object,
        args: Sequence[Any] | None = None,
        *,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[DispatchOptions],
    ) -> JobHandle[Any]:
        """Store one job: an instance, or a class or ``@job`` function with its arguments. Returns when it is stored.

        A ``dispatch_id`` that the queue knows already is not stored again: the first dispatch's handle is returned.

        Raises:
            UnknownJobError: the job is not registered.
            ArgumentsError: the arguments do not bind, do not fit their annotations or cannot be encoded.
            OptionError: an option's value is not allowed.
            PayloadTooLargeError: the arguments are over ``max_payload_bytes``.
            QueueDrainingError: the queue takes no new dispatches. Nothing was stored, as with all of the above.
            TransportError: the store was away too long, or refused; its ``handles`` say what may have been stored.
        """
        envelope = envelope_of(job, args, kwargs, options, self._client.max_payload_bytes)
        try:
            stored = await self._client.store_joined(envelope)
        except TransportError as exc:
            raise self._unsure(exc, [envelope]) from None
        if stored.storing is Storing.DRAINING:
            raise self._refused()
        return JobHandle(self._client, stored.job_id, stored.dispatch_id)

    async def dispatch_many(self, jobs: Iterable[Job], **options: Unpack[DispatchOptions]) -> list[JobHandle[Any]]:
        """Store many jobs, all with these options; one handle each, in order. All are checked before any is stored.

        Raises:
            OptionError: also for ``job_id`` and ``dispatch_id``, which are for one job.
        """
        if options.get("job_id") is not None or options.get("dispatch_id") is not None:
            raise OptionError("dispatch_many takes neither job_id nor dispatch_id: they name one job")
        limit = self._client.max_payload_bytes
        return await self._dispatch_all(envelopes_of(jobs, options, limit))

    async def retry_job(self, id: str | HasDispatchId) -> JobHandle[Any]:
        """Dispatch a FAILED or CANCELLED job anew, with its arguments and options, under a new dispatch id.

        Raises:
            JobNotFoundError: there is no record of it.
            OptionError: it has another status.
        """
        record = await self._find(id)
        if record is None or record.envelope is None:
            raise JobNotFoundError(f"queue {self.name!r} has no job {_id_of(id)!r} with its arguments")
        if record.status not in (JobStatus.FAILED, JobStatus.CANCELLED):
            raise OptionError(f"job {_id_of(id)!r} is {record.status}: only a failed or cancelled one can be retried")
        anew = msgspec.structs.replace(
            record.envelope, dispatch_id=DISPATCH_PREFIX + new_id(), from_job=current_run() is not None
        )
        return (await self._dispatch_all([anew]))[0]

    async def _dispatch_all(self, envelopes: list[Envelope]) -> list[JobHandle[Any]]:
        try:
            answers = await self._client.store(envelopes)
        except TransportError as exc:
            raise self._unsure(exc, envelopes) from None
        if any(stored.storing is Storing.DRAINING for stored in answers):
            raise self._refused()
        client = self._client
        return [JobHandle(client, stored.job_id, stored.dispatch_id) for stored in answers]

    def _refused(self) -> QueueDrainingError:
        return QueueDrainingError(f"queue {self.name!r} is draining: it takes no new jobs until resume()")

    def _unsure(self, exc: TransportError, envelopes: Iterable[Envelope]) -> TransportError:
        """The same error, with the handles of what may have been stored. Raised without a chain: its text says all."""
        handles = [JobHandle[Any](self._client, envelope.job_id, envelope.dispatch_id) for envelope in envelopes]
        return type(exc)(str(exc), handles=handles)

    # --------------------------------------------------------------------------------------------------- control

    async def pause(self) -> None:
        """Nothing new starts once this has returned; what runs goes on, and dispatching stays open."""
        await self._client.call(lambda t: t.gate(self.name, paused=True))

    async def resume(self) -> None:
        """Jobs start again and, after ``drain``, dispatches are taken again."""
        await self._client.call(lambda t: t.gate(self.name, paused=False, draining=False))

    async def drain(self, timeout: float | timedelta | None = None, scheduled: bool = False) -> None:
        """Refuse new dispatches, and return when all that waits, runs or is to be retried has ended.

        Running jobs may still dispatch. With ``scheduled`` it also waits for what is scheduled for later.
        ``resume()`` reopens the queue.

        Raises:
            ResultTimeoutError: that took longer than ``timeout`` seconds; it goes on draining.
            OptionError: the queue is paused, so that nothing would end, or ``timeout`` is no time.
        """
        limit_s = waiting_time(timeout)
        gates = await self._client.call(lambda t: t.gate(self.name, draining=True))
        if gates.paused:
            raise OptionError(f"queue {self.name!r} is paused, its jobs would never end: resume() it first")
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                await self._until_empty(scheduled)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ResultTimeoutError(
                f"queue {self.name!r} has jobs left after {limit_s:g} s; it goes on draining"
            ) from None

    async def _until_empty(self, scheduled: bool) -> None:
        async with aclosing(self._client.follow()) as batches:
            async for _ in batches:
                if not _unfinished(await self._overview(), scheduled):
                    return
                await asyncio.sleep(DRAIN_LOOK_S)

    async def clear(self) -> int:
        """End all that has not started (waiting, scheduled, to be retried) as CANCELLED; how many."""
        return await self._client.call(lambda t: t.clear(self.name))

    async def cancel_job(self, id: str | HasDispatchId) -> bool:
        """Cancel by handle, dispatch id, or job id (every unfinished dispatch of it).

        What waits never starts. A running async job's task is cancelled; in a thread ``self.cancelled`` turns true and
        what the job returns is dropped. True means that it ends CANCELLED, also when its completion races the call.
        """
        wanted = _id_of(id)
        return (await self._client.call(lambda t: t.cancel(self.name, [wanted])))[0]

    async def cancel_all_jobs(self) -> int:
        """Cancel all that has not ended, running or not; how many."""
        return await self._client.call(lambda t: t.clear(self.name, running=True))

    # --------------------------------------------------------------------------------------------------- reading

    async def get_job(self, id: str | HasDispatchId) -> JobInfo | None:
        """What is known of a dispatch: by handle, dispatch id, or the latest dispatch of a job id; else None."""
        record = await self._find(id)
        return None if record is None else info_of(record)

    async def get_handle(self, id: str | HasDispatchId) -> JobHandle[Any]:
        """The handle of a dispatch that was made elsewhere: by dispatch id, or the latest dispatch of a job id.

        Raises:
            JobNotFoundError: there is no record of it.
        """
        record = await self._find(id)
        if record is None:
            raise JobNotFoundError(
                f"queue {self.name!r} has no job {_id_of(id)!r}: it is another queue's, has expired or never existed"
            )
        return JobHandle(self._client, record.job_id, record.dispatch_id)

    async def jobs(self, status: JobStatus | str | None = None, limit: int = 100) -> list[JobInfo]:
        """The newest jobs first: all unfinished ones, and of each final status the newest 1000."""
        wanted = _status_of(status)
        if isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= LONGEST_PAGE:
            raise OptionError(f"limit={shown(limit)} is not allowed: give a whole number from 1 to {LONGEST_PAGE}")
        return [info_of(record) for record in await self._client.call(lambda t: t.page(self.name, wanted, limit))]

    async def counts(self) -> dict[JobStatus, int]:
        """How many jobs have each status: unfinished ones exactly, of the others all since the queue was created."""
        overview = await self._overview()
        return {status: overview.counts.get(status, 0) for status in JobStatus}

    async def workers(self) -> list[WorkerInfo]:
        """The live workers that serve this queue, by id, with what they run in all their queues."""
        return await self._client.call(lambda t: live_workers(t, self.name))

    async def is_paused(self) -> bool:
        """Whether nothing new starts."""
        return (await self._client.call(lambda t: t.gate(self.name))).paused

    async def is_draining(self) -> bool:
        """Whether new dispatches are refused."""
        return (await self._client.call(lambda t: t.gate(self.name))).draining

    async def events(self) -> AsyncGenerator[JobEvent, None]:
        """Every status change from the first iteration on, PENDING at dispatch included, in order for each dispatch.

        After an outage of the store it goes on where it was within the last 10,000 changes; else it yields an event
        with ``status=None``, a gap, and goes on from there.
        """
        async with aclosing(self._client.follow()) as batches:
            async for batch in batches:
                for change in batch:
                    yield event_of(change)

    async def _find(self, id: str | HasDispatchId) -> Record | None:
        return await self._client.find(_id_of(id))

    async def _overview(self) -> Overview:
        return await self._client.call(lambda t: t.overview(self.name))


def _id_of(job: str | HasDispatchId) -> str:
    return check_id(getattr(job, "dispatch_id", job), "id")


def _status_of(status: JobStatus | str | None) -> JobStatus | None:
    try:
        return None if status is None else JobStatus(status)
    except ValueError:
        raise OptionError(f"status={shown(status)} is not allowed: give one of {', '.join(JobStatus)}") from None


def _unfinished(overview: Overview, scheduled: bool) -> int:
    left = sum(count for status, count in overview.counts.items() if not status.is_final)
    return left if scheduled else left - overview.scheduled
