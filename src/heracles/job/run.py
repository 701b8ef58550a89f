"""What a running job knows of itself."""

from contextvars import ContextVar
from datetime import datetime
from typing import Any, Generic, Self, TypeVar, overload

import msgspec

from heracles.errors import JobRegistrationError
from heracles.model import Delivery, JobStatus
from heracles.units import to_datetime

T = TypeVar("T")


class JobRun(msgspec.Struct, kw_only=True):
    """One run of a job. Its worker writes ``status`` and ``cancelled``; user code reads."""

    id: str
    """The job id."""
    dispatch_id: str
    job_name: str
    queue_name: str
    token: int
    """Rises with every start of the dispatch: a fencing token for outside systems."""
    retries: int = 0
    status: JobStatus = JobStatus.RUNNING
    created_at_ms: int | None = None
    started_at_ms: int | None = None
    last_error: str | None = None
    """The error of the run before this one."""
    cancelled: bool = False
    """Turns True once, never back: the job was cancelled (``status`` says so), ran out of time, is given back at a
    forced stop, or is no longer its worker's."""

    @property
    def created_at(self) -> datetime | None:
        """When it was dispatched. Made when asked for: most jobs never do."""
        return to_datetime(self.created_at_ms)

    @property
    def started_at(self) -> datetime | None:
        """When this run was started."""
        return to_datetime(self.started_at_ms)

    @classmethod
    def of(cls, queue: str, delivery: Delivery) -> "JobRun":
        """The run that a delivery starts."""
        envelope = delivery.envelope
        return cls(
            id=envelope.job_id,
            dispatch_id=envelope.dispatch_id,
            job_name=envelope.name,
            queue_name=queue,
            token=delivery.token,
            retries=delivery.retries,
            created_at_ms=delivery.created_at_ms,
            started_at_ms=delivery.started_at_ms,
            last_error=delivery.last_error,
        )


#: The run that the code at hand belongs to. Set by the executor around user code, in threads too.
RUN: ContextVar[JobRun | None] = ContextVar("heracles_run", default=None)


def current_run() -> JobRun | None:
    """The run of the job whose code calls this, or what that code awaits; None outside of jobs."""
    return RUN.get()


class RunValue(Generic[T]):
    """A read-only attribute of ``Job`` that shows a value of its run, or ``outside`` where there is none."""

    def __init__(self, outside: T) -> None:
        self._outside = outside

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, job: None, owner: type) -> Self: ...
    @overload
    def __get__(self, job: object, owner: type) -> T: ...
    def __get__(self, job: object | None, owner: type) -> Self | T:
        if job is None:
            return self
        run = getattr(job, "_run", None)
        value: T = self._outside if run is None else getattr(run, self._name)
        return value

    def __set__(self, job: object, value: Any) -> None:
        raise JobRegistrationError(
            f"{type(job).__qualname__}: {self._name!r} is an attribute of every job: store yours under another name"
        )
