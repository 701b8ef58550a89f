"""Rows of the store as values, and the values that workers and readers get of them."""

import enum
from typing import NamedTuple

import msgspec

from heracles.model import Delivery, Envelope, JobStatus, Record

#: An envelope as it stands in the store, and back.
entry_of = msgspec.msgpack.Encoder().encode
_envelope_of = msgspec.msgpack.Decoder(Envelope).decode


class UnreadableEntryError(Exception):
    """Somebody has put something else in the place of an entry; the text says what is wrong with it."""


def envelope_of(entry: bytes | None) -> Envelope:
    """The envelope that stands in the store.

    Raises:
        UnreadableEntryError: it is none.
    """
    if entry is None:
        raise UnreadableEntryError("it is gone")
    try:
        return _envelope_of(entry)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableEntryError(str(error)) from error


class State(enum.IntEnum):
    """Where a dispatch stands; ``schema.sql`` says what holds in each."""

    READY = 0
    SCHEDULED = 1
    DELAYED = 2
    BLOCKED = 3
    HELD = 4
    ENDED = 5


class QueueRow(NamedTuple):
    """A queue's gates, numbers and counters."""

    id: int
    name: str
    paused: int
    draining: int
    pending: int
    running: int
    scheduled_for_retry: int
    completed: int
    failed: int
    cancelled: int
    last_place: int
    last_change: int

    @property
    def counts(self) -> dict[JobStatus, int]:
        """How many dispatches have each status, or had it last."""
        return {
            JobStatus.PENDING: self.pending,
            JobStatus.RUNNING: self.running,
            JobStatus.SCHEDULED_FOR_RETRY: self.scheduled_for_retry,
            JobStatus.COMPLETED: self.completed,
            JobStatus.FAILED: self.failed,
            JobStatus.CANCELLED: self.cancelled,
        }


class JobRow(NamedTuple):
    """What a change of state has to know of a job (the view ``job_rows``)."""

    id: int
    job_id: str
    dispatch_id: str
    status: str
    state: int
    priority: int
    no_overlap: int
    retries: int
    token: int
    deliveries: int
    place: int | None
    due_ms: int | None
    lease_ms: int | None
    line: int | None
    scheduled_ms: int | None
    unknown_since_ms: int | None
    overlap_delay_ms: int | None
    status_ttl_s: int | None
    consumer: str | None
    reported: str | None
    released_token: int | None
    reclaimed: str | None
    expires_ms: int | None
    queue: int

    @property
    def is_held(self) -> bool:
        """Whether its code runs, or may still run."""
        return self.state == State.HELD

    @property
    def is_final(self) -> bool:
        """Whether its status is final."""
        return JobStatus(self.status).is_final


class ReadyRow(NamedTuple):
    """What a worker gets of a job (the statements ``ready_jobs`` and ``held_deliveries``)."""

    id: int
    envelope: bytes | None
    status: str
    token: int
    retries: int
    deliveries: int
    created_ms: int
    started_ms: int | None
    error: str | None
    unknown_since_ms: int | None


class RecordRow(NamedTuple):
    """What a reader gets of a job (the view ``job_records``)."""

    id: int
    job_id: str
    dispatch_id: str
    name: str | None
    envelope: bytes | None
    priority: int
    scheduled_ms: int | None
    status: str
    token: int
    retries: int
    created_ms: int
    updated_ms: int | None
    started_ms: int | None
    completed_ms: int | None
    worker: str | None
    error: str | None
    traceback: str | None
    result: bytes | None
    queue: int
    expires_ms: int | None
    lease_ms: int | None


def delivery_of(row: ReadyRow, token: int, deliveries: int, started_ms: int) -> Delivery:
    """The delivery of a job that was started under that token.

    Raises:
        UnreadableEntryError: it has no envelope that can be read.
    """
    return Delivery(
        envelope=envelope_of(row.envelope),
        token=token,
        retries=row.retries,
        deliveries=deliveries,
        created_at_ms=row.created_ms,
        started_at_ms=started_ms,
        last_error=row.error,
        unknown_since_ms=row.unknown_since_ms,
        receipt=str(row.id),
    )


def record_of(row: RecordRow, queue: str) -> Record:
    """The record of a job of that queue."""
    return Record(
        job_id=row.job_id,
        dispatch_id=row.dispatch_id,
        queue=queue,
        status=JobStatus(row.status),
        name=row.name,
        priority=row.priority,
        retries=row.retries,
        created_at_ms=row.created_ms,
        updated_at_ms=row.updated_ms,
        scheduled_for_ms=row.scheduled_ms,
        started_at_ms=row.started_ms,
        completed_at_ms=row.completed_ms,
        worker=row.worker,
        error=row.error,
        traceback=row.traceback,
        result=row.result,
        token=row.token,
        envelope=_envelope_in(row.envelope),
    )


def _envelope_in(entry: bytes | None) -> Envelope | None:
    if entry is None:
        return None
    try:
        return envelope_of(entry)
    except UnreadableEntryError:
        # The record tells what else is known; a start of the job says why it cannot be.
        return None
