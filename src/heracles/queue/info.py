"""What the store knows of a dispatch, as users see it."""

from typing import Any

import msgspec

from heracles.codec import decode_plain
from heracles.errors import ResultError, UnknownJobError
from heracles.job import find_job
from heracles.model import Change, JobEvent, JobInfo, JobStatus, Record
from heracles.units import EPOCH, to_datetime


def info_of(record: Record) -> JobInfo:
    """A record with datetimes and Python values."""
    envelope = record.envelope
    return JobInfo(
        job_id=record.job_id,
        dispatch_id=record.dispatch_id,
        name=record.name or (envelope.name if envelope else None),
        queue=record.queue,
        status=record.status,
        args=_json(envelope.args, list) if envelope else None,
        kwargs=_json(envelope.kwargs or b"{}", dict) if envelope else None,
        priority=record.priority,
        retries=record.retries,
        created_at=to_datetime(record.created_at_ms) or EPOCH,
        scheduled_for=to_datetime(record.scheduled_for_ms),
        started_at=to_datetime(record.started_at_ms),
        completed_at=to_datetime(record.completed_at_ms),
        updated_at=to_datetime(record.updated_at_ms or record.created_at_ms) or EPOCH,
        worker=record.worker,
        error=record.error,
        traceback=record.traceback,
        result=_readable_result_of(record),
    )


def result_of(record: Record) -> Any:
    """The result by the return annotation of the job's code, as plain JSON values where that is not known here.

    Raises:
        ResultError: another program has put something there that is no JSON.
    """
    if record.status is not JobStatus.COMPLETED or record.result is None:
        return None
    try:
        return find_job(record.name or "").result_spec.decode(record.result)
    except UnknownJobError:
        return decode_plain(record.result)


def _readable_result_of(record: Record) -> Any:
    """None for what nobody can read: it must not hide all else that is known of the job."""
    try:
        return result_of(record)
    except ResultError:
        return None


def event_of(change: Change) -> JobEvent:
    """A status change with a datetime."""
    return JobEvent(
        job_id=change.job_id,
        dispatch_id=change.dispatch_id,
        status=change.status,
        at=to_datetime(change.at_ms) or EPOCH,
        error=change.error,
    )


def _json(encoded: bytes, form: type) -> Any:
    """None for what another program wrote that is no JSON of that form."""
    try:
        return msgspec.json.decode(encoded, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
