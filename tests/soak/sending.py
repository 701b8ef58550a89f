"""One dispatch, made and written down: what was sent, and what the store has answered."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from heracles.model import JobStatus, Value
from heracles.queue import JobHandle, Queue
from heracles.units import from_datetime, now_ms
from tests.history import Dispatched, Sent
from tests.soak import place

COMPLETES = (JobStatus.COMPLETED,)
FAILS = (JobStatus.FAILED,)
EITHER = (JobStatus.COMPLETED, JobStatus.FAILED)


class Piece(Value, frozen=True, kw_only=True):
    """One dispatch to be made."""

    kind: str
    job: type[Any]
    args: tuple[Any, ...]
    ends: tuple[JobStatus, ...] = COMPLETES
    delay_ms: int | None = None
    """Of one that is scheduled for later."""
    job_id: str | None = None
    priority: int = 10
    options: Mapping[str, Any] = {}
    is_alone: bool = False
    """Whether it is NO_OVERLAP."""


async def send(piece: Piece, queue_name: str, dispatch_id: str, *, is_sync: bool = False) -> JobHandle[int]:
    """Under an id of the caller's, so that what was sent is known even if the answer is not.

    ``is_sync``: from a thread without an event loop, as a program does that knows nothing of asyncio.

    Raises:
        TransportError: it may have arrived or not.
    """
    queue = Queue.get(queue_name)
    due = None if piece.delay_ms is None else datetime.now(UTC) + timedelta(milliseconds=piece.delay_ms)
    options: dict[str, Any] = {
        "dispatch_id": dispatch_id,
        "job_id": piece.job_id,
        "scheduled_for": due,
        "priority": piece.priority,
        **piece.options,
    }
    sent_ms = now_ms()
    place.note(Sent(queue=queue_name, dispatch_id=dispatch_id, kind=piece.kind, at_ms=sent_ms, ends=piece.ends))
    handle: JobHandle[int]
    if is_sync:
        handle = (await asyncio.to_thread(lambda: queue.sync.dispatch(piece.job, piece.args, **options))).awaited
    else:
        handle = await queue.dispatch(piece.job, piece.args, **options)
    acknowledged_ms = now_ms()
    place.note(
        Dispatched(
            queue=queue_name,
            job_id=handle.job_id,
            dispatch_id=dispatch_id,
            sent_ms=sent_ms,
            acknowledged_ms=acknowledged_ms,
            is_known=await queue.get_job(dispatch_id) is not None,
            priority=piece.priority,
            no_overlap=piece.is_alone,
            overlap_delay_ms=piece.options.get("overlap_delay", 0),
            scheduled_for_ms=None if due is None else from_datetime(due),
        )
    )
    return handle
