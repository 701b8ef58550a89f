"""What a worker holds: jobs that the store has started for it and whose end it has not yet accepted.

This is the only state that the parts of a worker share, its upkeep thread included. Fields say who writes them.
"""

import asyncio
import enum
from typing import Protocol

from heracles.model import Delivery, Held, JobStatus, Report
from heracles.worker.plan import Plan

#: From this many starts without a report on, a job runs without another such job beside it in its worker.
SUSPECT_DELIVERIES = 3

#: A job's queue, dispatch id and token: the same dispatch started again is another one to hold.
Key = tuple[str, str, int]


class Stop(enum.Enum):
    """Why the worker asked a job's code to end."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    RETURNED = "returned"
    """The worker stops by force; the job goes back to its queue."""
    LOST = "lost"
    """It is no longer this worker's: reclaimed, gone, or its lease could not be renewed."""


class CancelFlag(Protocol):
    """Where user code looks whether it should end."""

    cancelled: bool
    status: JobStatus


class HeldJob:
    """One started job. All is written on the worker's event loop, except where said."""

    __slots__ = ("begun", "delivery", "ended", "flag", "is_lost", "is_settling", "is_suspect", "key",
                 "lease_until", "outlived_its_report", "plan", "queue", "refused_since", "report", "stop", "task",
                 "thread_id")  # fmt: skip

    def __init__(self, queue: str, delivery: Delivery, plan: Plan, lease_until: float) -> None:
        self.queue = queue
        self.delivery = delivery
        self.plan = plan
        self.key: Key = (queue, delivery.envelope.dispatch_id, delivery.token)
        #: Whether it may be what took its last workers down.
        self.is_suspect = delivery.deliveries >= SUSPECT_DELIVERIES
        #: By time.monotonic(); prolonged by the upkeep thread.
        self.lease_until = lease_until
        #: The job has been reclaimed or its lease has ended: no longer renewed. Written by the upkeep thread too.
        self.is_lost = False
        self.stop: Stop | None = None
        self.flag: CancelFlag | None = None
        self.task: asyncio.Task[None] | None = None
        #: Written by the thread that runs it.
        self.thread_id: int | None = None
        self.begun = False
        self.ended = False
        #: It was reported FAILED or to be retried while its code still ran; only its end remains to be told.
        self.outlived_its_report = False
        #: It was so reported, and the store has yet to answer.
        self.is_settling = False
        #: The last report on it, answered or not.
        self.report: Report | None = None
        #: By time.monotonic(): since when the store refuses that report.
        self.refused_since: float | None = None

    def raise_flag(self) -> None:
        """Show the code that it should end; from any thread."""
        if self.flag is not None:
            self.flag.cancelled = True

    def named(self) -> Held:
        """How it is named in a beat."""
        envelope = self.delivery.envelope
        return Held(
            queue=self.queue,
            job_id=envelope.job_id,
            dispatch_id=envelope.dispatch_id,
            token=self.delivery.token,
            receipt=self.delivery.receipt,
        )

    def __str__(self) -> str:
        return f"{self.delivery.envelope.name} {self.delivery.envelope.dispatch_id}"


class HeldJobs:
    """All jobs that a worker holds. Changed on the worker's event loop; read from any thread."""

    def __init__(self) -> None:
        self._jobs: dict[Key, HeldJob] = {}

    def add(self, job: HeldJob) -> None:
        """Hold it from now on."""
        self._jobs[job.key] = job

    def remove(self, job: HeldJob) -> None:
        """Let it go; safe twice."""
        self._jobs.pop(job.key, None)

    def get(self, key: Key) -> HeldJob | None:
        """The job of that key, if it is held."""
        return self._jobs.get(key)

    def all(self) -> tuple[HeldJob, ...]:
        """A copy, made in one step, so that other threads may take one too."""
        return tuple(self._jobs.values())

    def renewable(self) -> tuple[HeldJob, ...]:
        """Those whose leases have to be renewed."""
        return tuple(job for job in self.all() if not job.is_lost)

    def has_suspect(self) -> bool:
        """Whether one runs that may take its worker down."""
        return any(job.is_suspect for job in self.all())

    def __len__(self) -> int:
        return len(self._jobs)
