"""The end of a soak: what the store says when all is quiet, and whether it agrees with what was written down."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from heracles.errors import TransportError
from heracles.model import JobStatus, Record
from heracles.transport import Transport
from tests import history
from tests.history import AnyEvent, Counted, Finished, Sent
from tests.soak.plan import QUEUES, Plan

_LOOK_S = 0.25
#: Reads under way at once.
_AT_ONCE = 32


async def drained(transport: Transport, seconds: float) -> str:
    """Wait until nothing is unfinished; what is left, in words, where it takes longer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            left = {name: await _unfinished(transport, name) for name in QUEUES}
        except TransportError as error:
            left = {str(error): {}}
        left = {name: counts for name, counts in left.items() if counts or name not in QUEUES}
        if not left:
            return ""
        if time.monotonic() > deadline:
            return f"not all ended within {seconds:.0f} s: {left}"
        await asyncio.sleep(_LOOK_S)


async def _unfinished(transport: Transport, queue: str) -> dict[str, int]:
    counts = (await transport.overview(queue)).counts
    return {status.value: count for status, count in counts.items() if count and not status.is_final}


async def write_records(transport: Transport, path: Path) -> None:
    """Add the final record of all that was sent, and the counts."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def write(queue: str, dispatch_id: str) -> None:
        async with room:
            record = await transport.find(queue, dispatch_id)
        if record is not None:
            history.append(path, _finished(record))

    sent = {event.dispatch_id: event.queue for event in history.read(path) if isinstance(event, Sent)}
    async with asyncio.TaskGroup() as tasks:
        for dispatch_id, queue in sent.items():
            tasks.create_task(write(queue, dispatch_id))
    for name in QUEUES:
        counts = (await transport.overview(name)).counts
        history.append(path, Counted(queue=name, counts={status: counts.get(status, 0) for status in JobStatus}))


def _finished(record: Record) -> Finished:
    return Finished(
        dispatch_id=record.dispatch_id,
        status=record.status,
        token=record.token,
        retries=record.retries,
        result=None if record.result is None else msgspec.json.decode(record.result, type=int),
        error=record.error,
    )


def violations(events: Sequence[AnyEvent], plan: Plan) -> list[str]:
    """What the history shows that it must not."""
    return history.check(events, lease_ms=plan.lease_ms, patience_ms=round(plan.patience_s * 1000))
