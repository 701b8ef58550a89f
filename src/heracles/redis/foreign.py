"""Entries that other programs wrote: read with distrust, in the full form of the wire format."""

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

from heracles.errors import OptionError
from heracles.model import Envelope, JobOverlapBehavior, Value
from heracles.options import LONGEST_MS, OPTIONS, check_id
from heracles.redis.keys import DEFAULT_PRIORITY, NAME_PREFIX
from heracles.units import from_iso

#: Seconds after the epoch that still are a date: year 9999.
_LAST_MS = 253_402_300_799_999


class Meaning(enum.Enum):
    """What an entry asks for."""

    JOB = "job"
    CANCEL_ALL = "cancel_all"
    NOTHING = "nothing"
    """It is acknowledged and skipped, and ``error`` says why."""


class ForeignEntry(Value, frozen=True, kw_only=True):
    """What was made of one entry. With ``error``, a JOB fails for good."""

    meaning: Meaning
    job_id: str = ""
    dispatch_id: str = ""
    envelope: Envelope | None = None
    error: str | None = None


class _UnacceptableError(ValueError):
    pass


def read_entry(fields: Mapping[bytes, bytes], priority: int = DEFAULT_PRIORITY) -> ForeignEntry:
    """``priority`` is that of the stream in which the entry stands. Never raises."""
    kind = fields.get(b"type", b"job:process")
    if kind == b"job:cancelAll":
        return ForeignEntry(meaning=Meaning.CANCEL_ALL)
    if kind != b"job:process":
        return ForeignEntry(meaning=Meaning.NOTHING, error=f"its type is {kind[:80]!r}")
    try:
        job_id = check_id(_text(fields, b"jobId"))
        dispatch_id = check_id(_text(fields, b"dispatchId"), "dispatch_id")
    except ValueError as error:
        return ForeignEntry(meaning=Meaning.NOTHING, error=f"it names no job: {error}")
    try:
        envelope = _envelope(fields, job_id, dispatch_id, priority)
    except (ValueError, RecursionError, OverflowError) as error:
        return ForeignEntry(meaning=Meaning.JOB, job_id=job_id, dispatch_id=dispatch_id, error=_message(error))
    return ForeignEntry(meaning=Meaning.JOB, job_id=job_id, dispatch_id=dispatch_id, envelope=envelope)


def _message(error: Exception) -> str:
    return f"its stream entry cannot be used: {error}"[:1000]


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str:
    value = fields.get(name)
    if value is None:
        raise _UnacceptableError(f"it has no {name.decode()}")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _UnacceptableError(f"{name.decode()} is not UTF-8") from None


def _envelope(fields: Mapping[bytes, bytes], job_id: str, dispatch_id: str, priority: int) -> Envelope:
    name = _text(fields, b"job").removeprefix(NAME_PREFIX)
    if not name:
        raise _UnacceptableError("job names no class")
    args = _json(fields, b"args", list)
    kwargs = _json(fields, b"kwargs", dict) if fields.get(b"kwargs") else b""
    options = _options(fields)
    # The original always sends a priority, and 0 where none was given.
    given = _number(options, "priority", OPTIONS["priority"].maximum)
    behavior = options.get("overlapBehavior", JobOverlapBehavior.ALLOW_OVERLAP.value)
    if behavior not in tuple(JobOverlapBehavior):
        raise _UnacceptableError(f"options.overlapBehavior is {behavior!r:.80}: no such behaviour")
    return Envelope(
        job_id=job_id,
        dispatch_id=dispatch_id,
        name=name,
        args=args,
        kwargs=kwargs,
        priority=given or priority,
        no_overlap=behavior == JobOverlapBehavior.NO_OVERLAP,
        scheduled_for_ms=_time(options),
        overlap_delay_ms=_number(options, "overlapDelay", LONGEST_MS),
        max_retries=_number(options, "maxRetries", OPTIONS["max_retries"].maximum),
        retry_delay_ms=_number(options, "retryDelay", LONGEST_MS),
        timeout_ms=_number(options, "timeout", LONGEST_MS) or None,
        status_ttl_s=_number(options, "statusTtl", OPTIONS["status_ttl"].maximum) or None,
    )


def _json(fields: Mapping[bytes, bytes], name: bytes, kind: type) -> bytes:
    value = fields.get(name)
    what = "array" if kind is list else "object"
    if value is None:
        raise _UnacceptableError(f"it has no {name.decode()}")
    try:
        parsed = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _UnacceptableError(f"{name.decode()} is no JSON {what}: {error}") from None
    if not isinstance(parsed, kind):
        raise _UnacceptableError(f"{name.decode()} is no JSON {what}")
    return value


def _options(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    encoded = fields.get(b"options")
    if not encoded:
        return {}
    _json(fields, b"options", dict)
    found: dict[str, Any] = msgspec.json.decode(encoded)
    # null means "not given", as in the language of their writer.
    return {name: value for name, value in found.items() if value is not None}


def _number(options: Mapping[str, Any], name: str, maximum: int) -> int | None:
    value = options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= maximum:
        raise _UnacceptableError(f"options.{name} is {value!r:.80}: give a number from 0 to {maximum}")
    return int(value)


def _time(options: Mapping[str, Any]) -> int | None:
    value = options.get("scheduledFor")
    if value is None:
        return None
    try:
        due = from_iso(value)
    except (TypeError, ValueError, OptionError):
        raise _UnacceptableError(f"options.scheduledFor is {value!r:.80}: give ISO 8601 with a time zone") from None
    if not 0 <= due <= _LAST_MS:
        raise _UnacceptableError(f"options.scheduledFor is {value!r:.80}: out of range")
    return due
