"""The methods of a queue without await."""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar, Unpack, overload

from heracles.job import Job
from heracles.model import JobEvent, JobInfo, JobStatus, WorkerInfo
from heracles.portal import PORTAL
from heracles.queue.calls import QueueCalls
from heracles.queue.envelopes import AsyncClass, AsyncFunction, DispatchOptions, ThreadClass, ThreadFunction
from heracles.queue.handle import HasDispatchId, SyncJobHandle

R = TypeVar("R")
T = TypeVar("T")


class SyncQueue:
    """Every method of a queue under its name, for any thread that has no running event loop: Django, Flask, a script.

    They run on one background event loop of the process. In a thread with a running event loop they raise
    RunningLoopError, which names the form to await.
    """

    def __init__(self, awaited: QueueCalls) -> None:
        self._awaited = awaited

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._awaited.name

    @overload
    def dispatch(
        self, job: AsyncClass[R], args: Sequence[Any] | None = None, *,
        kwargs: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions],
    ) -> SyncJobHandle[R]: ...  # fmt: skip
    @overload
    def dispatch(
        self, job: ThreadClass[R], args: Sequence[Any] | None = None, *,
        kwargs: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions],
    ) -> SyncJobHandle[R]: ...  # fmt: skip
    @overload
    def dispatch(
        self, job: AsyncFunction[R], args: Sequence[Any] | None = None, *,
        kwargs: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions],
    ) -> SyncJobHandle[R]: ...  # fmt: skip
    @overload
    def dispatch(
        self, job: ThreadFunction[R], args: Sequence[Any] | None = None, *,
        kwargs: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions],
    ) -> SyncJobHandle[R]: ...  # fmt: skip
    def dispatch(
        self,
        job: Any,
        args: Sequence[Any] | None = None,
        *,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[DispatchOptions],
    ) -> SyncJobHandle[Any]:
        """As ``Queue.dispatch``."""
        return self._run(lambda: self._awaited.dispatch(job, args, kwargs=kwargs, **options), "dispatch").sync

    def dispatch_many(self, jobs: Iterable[Job], **options: Unpack[DispatchOptions]) -> list[SyncJobHandle[Any]]:
        """As ``Queue.dispatch_many``."""
        handles = self._run(lambda: self._awaited.dispatch_many(jobs, **options), "dispatch_many")
        return [handle.sync for handle in handles]

    def retry_job(self, id: str | HasDispatchId) -> SyncJobHandle[Any]:
        """As ``Queue.retry_job``."""
        return self._run(lambda: self._awaited.retry_job(id), "retry_job").sync

    def pause(self) -> None:
        """As ``Queue.pause``."""
        self._run(self._awaited.pause, "pause")

    def resume(self) -> None:
        """As ``Queue.resume``."""
        self._run(self._awaited.resume, "resume")

    def drain(self, timeout: float | timedelta | None = None, scheduled: bool = False) -> None:
        """As ``Queue.drain``."""
        self._run(lambda: self._awaited.drain(timeout, scheduled), "drain")

    def clear(self) -> int:
        """As ``Queue.clear``."""
        return self._run(self._awaited.clear, "clear")

    def cancel_job(self, id: str | HasDispatchId) -> bool:
        """As ``Queue.cancel_job``."""
        return self._run(lambda: self._awaited.cancel_job(id), "cancel_job")

    def cancel_all_jobs(self) -> int:
        """As ``Queue.cancel_all_jobs``."""
        return self._run(self._awaited.cancel_all_jobs, "cancel_all_jobs")

    def get_job(self, id: str | HasDispatchId) -> JobInfo | None:
        """As ``Queue.get_job``."""
        return self._run(lambda: self._awaited.get_job(id), "get_job")

    def get_handle(self, id: str | HasDispatchId) -> SyncJobHandle[Any]:
        """As ``Queue.get_handle``."""
        return self._run(lambda: self._awaited.get_handle(id), "get_handle").sync

    def jobs(self, status: JobStatus | str | None = None, limit: int = 100) -> list[JobInfo]:
        """As ``Queue.jobs``."""
        return self._run(lambda: self._awaited.jobs(status, limit), "jobs")

    def counts(self) -> dict[JobStatus, int]:
        """As ``Queue.counts``."""
        return self._run(self._awaited.counts, "counts")

    def workers(self) -> list[WorkerInfo]:
        """As ``Queue.workers``."""
        return self._run(self._awaited.workers, "workers")

    def is_paused(self) -> bool:
        """As ``Queue.is_paused``."""
        return self._run(self._awaited.is_paused, "is_paused")

    def is_draining(self) -> bool:
        """As ``Queue.is_draining``."""
        return self._run(self._awaited.is_draining, "is_draining")

    def events(self) -> Iterator[JobEvent]:
        """As ``Queue.events``, as a plain iterator that blocks until the next event."""
        events = self._awaited.events()

        async def following() -> JobEvent | None:
            return await anext(events, None)

        try:
            while (event := self._run(following, "events")) is not None:
                yield event
        finally:
            # Not waited for: a generator that is collected must block nobody.
            PORTAL.run_later(events.aclose)

    def _run(self, call: Callable[[], Coroutine[Any, Any, T]], name: str) -> T:
        return PORTAL.run(call, awaited=f"await queue.{name}()")
