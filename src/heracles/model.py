"""The values that travel between queue, transport and worker, and the states a job can be in.

Everything here is frozen. Times are epoch milliseconds by the store's clock, and payloads are opaque bytes, until
``JobInfo``, ``JobEvent`` and ``WorkerInfo`` show them to users as datetimes and Python values.
"""

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec


class JobStatus(enum.StrEnum):
    """Where a job stands. The value is what the store holds."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SCHEDULED_FOR_RETRY = "scheduled_for_retry"

    @property
    def is_final(self) -> bool:
        """Whether nothing comes after it."""
        return self in FINAL


class JobOverlapBehavior(enum.StrEnum):
    """Whether two dispatches of one job id may run at the same time."""

    ALLOW_OVERLAP = "allow_overlap"
    NO_OVERLAP = "no_overlap"


FINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})
UNFINISHED = frozenset(JobStatus) - FINAL

#: From each status, the statuses that may follow. None stands for "not yet dispatched".
#: PENDING to FAILED: an entry of another program that cannot be understood, or a job without a worker that knows it.
#: RUNNING to PENDING: reclaimed from a dead worker, given back at a forced stop, or not known to that worker.
TRANSITIONS: Mapping[JobStatus | None, frozenset[JobStatus]] = {
    None: frozenset({JobStatus.PENDING}),
    JobStatus.PENDING: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.FAILED}),
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.COMPLETED,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
            JobStatus.SCHEDULED_FOR_RETRY,
            JobStatus.PENDING,
        }
    ),
    JobStatus.SCHEDULED_FOR_RETRY: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the frozen values.

    Those that come by the thousand and hold nothing but numbers and text, of which no cycle can be made, are none of
    the garbage collector's business (``gc=False``).
    """


# ---------------------------------------------------------------------------------------------- producer to store


class Envelope(Value, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One dispatch, encoded: what a producer hands to ``Transport.enqueue``.

    Everything after ``priority`` that is None was not given at dispatch: the worker's code decides it.
    """

    job_id: str
    dispatch_id: str
    name: str
    """The registered name, without the wire's ``elysium.heracles.job.`` in front."""
    args: bytes = b"[]"
    """A JSON array."""
    kwargs: bytes = b""
    """A JSON object, or empty where there are none."""
    priority: int = 10
    no_overlap: bool = False
    scheduled_for_ms: int | None = None
    delay_ms: int | None = None
    """Relative to the store's clock at ``enqueue``, which turns it into ``scheduled_for_ms``. Never with it."""
    overlap_delay_ms: int | None = None
    max_retries: int | None = None
    retry_delay_ms: int | None = None
    timeout_ms: int | None = None
    status_ttl_s: int | None = None
    from_job: bool = False
    """Dispatched by a running job, which a draining queue still accepts. Does not travel."""


class Storing(enum.Enum):
    """What became of one envelope."""

    STORED = "stored"
    EXISTING = "existing"
    """The dispatch id is known: the first dispatch stands."""
    DRAINING = "draining"
    """Refused, nothing was stored."""


class Stored(Value, frozen=True, kw_only=True):
    """The answer to one envelope. ``job_id`` is the first dispatch's where that one stands."""

    storing: Storing
    job_id: str
    dispatch_id: str


# ------------------------------------------------------------------------------------------------ store and worker


class Session(Value, frozen=True, kw_only=True):
    """One incarnation of a worker, from start to stop.

    Two sessions never share a ``consumer``, also when they share a ``worker_id``: a worker that starts again under its
    old id is another session, and what the old one held is reclaimed when its leases end.
    """

    worker_id: str
    consumer: str


class Delivery(Value, frozen=True, kw_only=True, gc=False):
    """A job that the store has started for a worker: its status is RUNNING and its lease runs."""

    envelope: Envelope
    token: int
    """The fencing token of this start."""
    retries: int
    """Failed runs before this one; 0 on the first."""
    deliveries: int
    """Starts without a report in a row, this one included; over 1 after its worker died."""
    created_at_ms: int
    started_at_ms: int
    """The store's clock at this start."""
    last_error: str | None = None
    unknown_since_ms: int | None = None
    """When a worker first gave it back as UNKNOWN, by the store's clock."""
    receipt: str = ""
    """Opaque to all but the transport; goes back with every report and beat."""


class ReportKind(enum.Enum):
    """What a worker says of a job that it holds."""

    COMPLETED = "completed"
    FAILED = "failed"
    """For good, ``error`` and ``traceback`` kept."""
    RETRY = "retry"
    """SCHEDULED_FOR_RETRY, ``retries`` one higher, ready again ``delay_ms`` from now. Frees the overlap lock."""
    RETURNED = "returned"
    """PENDING again, ``retries`` and ``deliveries`` as before this start; queues as of now. Stop by force."""
    UNSTARTED = "unstarted"
    """Like RETURNED for a job whose code has not begun: it keeps its place before all that became ready later."""
    UNKNOWN = "unknown"
    """This worker does not know the job's class: PENDING again, ready ``delay_ms`` from now, ``unknown_since`` kept."""
    RELEASED = "released"
    """The code of a job that was cancelled, or reported with ``still_running``, has ended: slot, lock, retry go on."""


class Report(Value, frozen=True, kw_only=True, gc=False):
    """One worker's word on one job; applied only while ``token`` is the job's current one."""

    job_id: str
    dispatch_id: str
    token: int
    kind: ReportKind
    receipt: str = ""
    name: str = ""
    """The job's registered name, kept in the record when the entry is gone."""
    result: bytes | None = None
    error: str | None = None
    traceback: str | None = None
    delay_ms: int = 0
    overlap_delay_ms: int = 0
    """How long after this run's end the next NO_OVERLAP dispatch of its job id has to wait."""
    status_ttl_s: int | None = None
    """Seconds the record of a finished job stays; None: the transport's ``status_ttl``."""
    still_running: bool = False
    """With FAILED and RETRY: the status changes now, but the code goes on (a thread): the lease and the overlap lock
    stay, and a retry waits, until RELEASED or the lease's end."""
    pause_queue: bool = False
    """With FAILED: pause the queue in the same step (``pause_on_error``)."""


class Verdict(enum.Enum):
    """The store's answer to one report."""

    APPLIED = "applied"
    """Done, now or by an earlier send of the same report."""
    LOST = "lost"
    """The token is stale, or there is no such job any more: nothing was changed, the worker lets go."""
    CANCELLED = "cancelled"
    """The job ended CANCELLED before; what was reported is dropped; slot and lock go free unless ``still_running``."""


class Exchange(Value, frozen=True, kw_only=True):
    """The answer to ``Transport.exchange``."""

    verdicts: tuple[Verdict, ...] = ()
    started: tuple[Delivery, ...] = ()
    next_due_ms: int | None = None
    """Milliseconds until something that waits becomes due; 0: more is ready now; None: nothing known to wait."""
    paused: bool = False


class Held(Value, frozen=True, kw_only=True):
    """A job that a worker runs, as it names it in a beat."""

    queue: str
    job_id: str
    dispatch_id: str
    token: int
    receipt: str = ""


class Beaten(Value, frozen=True, kw_only=True):
    """The answer to ``Transport.beat``: what of the held jobs is no longer the worker's to finish."""

    lost: tuple[Held, ...] = ()
    cancelled: tuple[Held, ...] = ()


class SignalKind(enum.Enum):
    """Why a waiting worker was woken."""

    WORK = "work"
    CANCEL = "cancel"


class Signal(Value, frozen=True, kw_only=True):
    """A hint: there may be work in a queue, or a job (``dispatch_id``) may have been cancelled."""

    kind: SignalKind
    queue: str
    dispatch_id: str = ""


# --------------------------------------------------------------------------------------------- store to everybody


class Record(Value, frozen=True, kw_only=True):
    """All that the store knows of one dispatch."""

    job_id: str
    dispatch_id: str
    queue: str
    status: JobStatus
    name: str | None = None
    priority: int = 10
    retries: int = 0
    created_at_ms: int = 0
    updated_at_ms: int | None = None
    scheduled_for_ms: int | None = None
    """When it is or was due: of a dispatch for later, or of the next retry."""
    started_at_ms: int | None = None
    completed_at_ms: int | None = None
    worker: str | None = None
    """The ``worker_id`` that runs or last ran it."""
    error: str | None = None
    traceback: str | None = None
    result: bytes | None = None
    token: int = 0
    envelope: Envelope | None = None
    """None once the entry of a completed job has left the store."""


class Gates(Value, frozen=True, kw_only=True):
    """What a queue lets through."""

    paused: bool = False
    draining: bool = False


class Overview(Value, frozen=True, kw_only=True):
    """A queue's numbers: unfinished ones exact, final ones totals since the queue was created or emptied."""

    counts: Mapping[JobStatus, int]
    scheduled: int = 0
    """How many of PENDING wait for their ``scheduled_for`` still ahead."""
    gates: Gates = Gates()


class Change(Value, frozen=True, kw_only=True):
    """One status change. ``status`` None: changes before this one were missed (a gap)."""

    job_id: str
    dispatch_id: str
    status: JobStatus | None
    at_ms: int
    error: str | None = None


class Changes(Value, frozen=True, kw_only=True):
    """Some status changes, in order, and the cursor from which the next read goes on."""

    cursor: str
    changes: tuple[Change, ...] = ()


class Swept(Value, frozen=True, kw_only=True):
    """What a maintenance pass or a cleanup removed, or would remove."""

    entries: int = 0
    records: int = 0
    cancelled: int = 0
    reclaimed: int = 0

    def __add__(self, other: "Swept") -> "Swept":
        return Swept(
            entries=self.entries + other.entries,
            records=self.records + other.records,
            cancelled=self.cancelled + other.cancelled,
            reclaimed=self.reclaimed + other.reclaimed,
        )


class CleanupRules(Value, frozen=True, kw_only=True):
    """What ``heracles cleanup`` removes from one queue."""

    retention_s: int = 3600
    """Entry and record of jobs finished longer ago than this go."""
    max_entries: int = 1000
    """Finished entries beyond this many in the queue go, oldest first, whatever their priority."""
    status_only: bool = False
    """Only status records go, entries stay."""
    everything: bool = False
    """Every entry and record goes, running jobs are cancelled, totals restart at 0. ``status_only`` narrows it not."""
    dry_run: bool = False


class WorkerInfo(Value, frozen=True, kw_only=True):
    """A live worker."""

    id: str
    status: str
    """``running`` or ``stopping``."""
    queues: tuple[str, ...]
    running: tuple[str, ...]
    """The dispatch ids that it runs, the newest of each queue first."""
    last_seen: datetime


class JobInfo(Value, frozen=True, kw_only=True):
    """What is known of one dispatch of a job.

    ``args`` and ``kwargs`` are the encoded arguments as JSON values, None once the entry of a completed job has left
    the store; failed and cancelled jobs keep theirs. ``scheduled_for`` is also when a retry is due, ``updated_at`` when
    the status last changed. ``result`` is None until the job has COMPLETED.
    """

    job_id: str
    dispatch_id: str
    name: str | None
    queue: str
    status: JobStatus
    args: list[Any] | None
    kwargs: dict[str, Any] | None
    priority: int
    retries: int
    created_at: datetime
    scheduled_for: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime
    worker: str | None
    error: str | None
    traceback: str | None
    result: Any


class JobEvent(Value, frozen=True, kw_only=True):
    """A status change of a dispatch. ``status`` None: events before this one were missed (a gap); the ids are empty."""

    job_id: str
    dispatch_id: str
    status: JobStatus | None
    at: datetime
    error: str | None = None
