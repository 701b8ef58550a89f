"""What the store knows of a dispatch, from its status hash and entry."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from heracles.model import Envelope, JobStatus, Record
from heracles.redis.entries import NOT_OURS, envelope_of, mapping, number_of, text_of, time_of
from heracles.redis.foreign import read_entry
from heracles.redis.keys import DEFAULT_PRIORITY


def read_envelope(flat: Sequence[bytes], priority: int) -> tuple[Envelope | None, str]:
    """The envelope of an entry, ours or another program's; None where it cannot be understood, and why."""
    fields = mapping(flat)
    if b"type" not in fields:
        try:
            return envelope_of(fields, priority), ""
        except NOT_OURS:
            pass
    found = read_entry(fields, priority)
    if found.envelope is None:
        return None, found.error or "its stream entry cannot be used"
    return msgspec.structs.replace(found.envelope, priority=priority), ""


def read_record(queue: str, answer: Any) -> Record | None:
    """As records.lua answers one; None where there is none."""
    if not answer:
        return None
    job_id, dispatch_id, flat, entry, long_text = answer
    has = mapping(flat)
    try:
        status = JobStatus(text_of(has[b"status"]))
    except ValueError:
        return None
    priority = number_of(has.get(b"priority"), DEFAULT_PRIORITY)
    envelope, _ = read_envelope(entry, priority) if entry else (None, "")
    is_complete = status is JobStatus.COMPLETED
    name = text_of(has[b"name"]) if has.get(b"name") else envelope.name if envelope else None
    return Record(
        job_id=text_of(job_id),
        dispatch_id=text_of(dispatch_id),
        queue=queue,
        status=status,
        name=name,
        priority=priority,
        retries=number_of(has.get(b"retries")),
        created_at_ms=time_of(has.get(b"createdAt")) or 0,
        updated_at_ms=time_of(has.get(b"updatedAt")),
        scheduled_for_ms=time_of(has.get(b"scheduledFor")),
        started_at_ms=time_of(has.get(b"startedAt")),
        completed_at_ms=time_of(has.get(b"completedAt")),
        worker=_text(has, b"worker"),
        error=_text(has, b"error"),
        traceback=None if is_complete else _text(has, b"traceback") or text_of(long_text) or None,
        result=(has.get(b"result") or long_text or None) if is_complete else None,
        token=number_of(has.get(b"token")),
        envelope=envelope,
    )


def _text(has: Mapping[bytes, bytes], field: bytes) -> str | None:
    value = has.get(field)
    return None if value is None else text_of(value)
