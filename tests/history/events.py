"""What a history holds: one JSON object a line, appended in one system call by whoever it happened to."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from heracles.model import JobStatus
from heracles.units import now_ms

#: In place of a worker: all that run at that time.
EVERYONE = "*"
#: What can happen to a worker. A failover may forget what the old master had acknowledged shortly before.
KILLED, FROZEN, CUT_OFF, WITHOUT_STORE, FAILOVER = "killed", "frozen", "cut off", "without a store", "failover"
#: How a job's code ended.
COMPLETED, RAISED, STOPPED = "completed", "raised", "stopped"


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of what a history holds."""


class Sent(Event, frozen=True, kw_only=True):
    """A dispatch is about to be sent: from now on the store may know it."""

    queue: str
    dispatch_id: str
    kind: str
    at_ms: int
    ends: tuple[JobStatus, ...]
    """What its code may come to if nobody cancels it."""


class Dispatched(Event, frozen=True, kw_only=True):
    """The store has acknowledged a dispatch."""

    queue: str
    job_id: str
    dispatch_id: str
    sent_ms: int
    acknowledged_ms: int
    is_known: bool = True
    """Whether its record was found right after."""
    priority: int = 10
    no_overlap: bool = False
    overlap_delay_ms: int = 0
    scheduled_for_ms: int | None = None


class Cancelling(Event, frozen=True, kw_only=True):
    """Somebody is about to cancel a dispatch."""

    dispatch_id: str
    at_ms: int


class Cancelled(Event, frozen=True, kw_only=True):
    """``cancel`` has returned."""

    dispatch_id: str
    answer: bool
    at_ms: int


class Started(Event, frozen=True, kw_only=True):
    """A job's code has begun."""

    queue: str
    job_id: str
    dispatch_id: str
    worker: str
    token: int
    retries: int
    stored_ms: int
    """When the store recorded the start (``self.started_at``)."""
    at_ms: int


class Ended(Event, frozen=True, kw_only=True):
    """A job's code has ended: ``completed``, ``raised``, or ``stopped`` (cancelled, out of time or given back)."""

    dispatch_id: str
    token: int
    outcome: str
    at_ms: int
    worker: str = ""
    """Needed only where two runs may share a token, which a failover that forgets a start brings about."""


class Disturbed(Event, frozen=True, kw_only=True):
    """A worker was ``killed``, ``frozen``, ``cut off``, ``without a store`` or in a ``failover``.

    ``until_ms`` None: it did not end.
    """

    worker: str
    how: str
    from_ms: int
    until_ms: int | None = None


class Paused(Event, frozen=True, kw_only=True):
    """Nothing may start between the return of ``pause()`` and the call of ``resume()``."""

    queue: str
    from_ms: int
    until_ms: int | None = None


class Changed(Event, frozen=True, kw_only=True):
    """A change of status that was told to whoever follows the queue's events; ``status`` None: some were missed."""

    queue: str
    dispatch_id: str
    status: JobStatus | None
    at_ms: int


class Returned(Event, frozen=True, kw_only=True):
    """``handle.result()`` has returned what a job that returns the token of its run had returned."""

    dispatch_id: str
    result: int
    at_ms: int


class Finished(Event, frozen=True, kw_only=True):
    """The record that the store had at the end."""

    dispatch_id: str
    status: JobStatus
    token: int
    retries: int
    result: int | None = None
    """Of a job that returns the token of its run: what it returned."""
    error: str | None = None


class Counted(Event, frozen=True, kw_only=True):
    """What ``counts()`` of a queue said at the end."""

    queue: str
    counts: Mapping[JobStatus, int]


AnyEvent = (
    Sent
    | Dispatched
    | Cancelling
    | Cancelled
    | Started
    | Ended
    | Disturbed
    | Paused
    | Changed
    | Returned
    | Finished
    | Counted
)


def append(path: Path | str, event: AnyEvent) -> None:
    """Add one event; whole lines only, also from many processes at once and when killed midway."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, msgspec.json.encode(event) + b"\n")
    finally:
        os.close(file)


def read(path: Path | str) -> list[AnyEvent]:
    """All events, in the order in which they were written; one that is being written is not there yet."""
    decoder = msgspec.json.Decoder(AnyEvent)
    whole, _, _ = Path(path).read_bytes().rpartition(b"\n")
    return [decoder.decode(line) for line in whole.splitlines()]


def starting(path: Path | str, *, queue: str, job_id: str, dispatch_id: str, worker: str, **run: int) -> None:
    """What a job calls first; ``run``: token, retries, stored_ms."""
    append(
        path,
        Started(queue=queue, job_id=job_id, dispatch_id=dispatch_id, worker=worker, at_ms=now_ms(), **run),
    )


def ending(path: Path | str, *, dispatch_id: str, token: int, outcome: str, worker: str = "") -> None:
    """What a job calls last."""
    append(path, Ended(dispatch_id=dispatch_id, token=token, outcome=outcome, worker=worker, at_ms=now_ms()))
