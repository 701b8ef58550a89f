"""Stream entries: an envelope as its fields, and back.

Entries of ours leave out what their key already says (queue, priority) and what has no value. Order matters: Redis
stores the names of fields once for entries that have the same ones in the same order.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import astuple

from heracles.model import Envelope, JobOverlapBehavior
from heracles.redis.keys import DEFAULT_PRIORITY, NAME_PREFIX
from heracles.redis.wire import Argument
from heracles.units import DISPATCH_PREFIX, JOB_PREFIX, from_iso, to_iso


class Options(msgspec.Struct, omit_defaults=True, rename="camel"):
    """The options field of an entry."""

    scheduled_for: str | None = None
    priority: int | None = None
    max_retries: int | None = None
    retry_delay: int | None = None
    overlap_behavior: str | None = None
    overlap_delay: int | None = None
    timeout: int | None = None
    status_ttl: int | None = None


_encode = msgspec.json.Encoder().encode
#: What is behind its args in an envelope that has nothing to say there.
_PLAIN = list(astuple(Envelope(job_id="", dispatch_id="", name="")))[4:]
_decode_options = msgspec.json.Decoder(Options).decode


def encode_options(envelope: Envelope, *, scheduled: bool = False) -> bytes:
    """What the key does not say, as JSON; empty where there is nothing to say.

    ``scheduled``: with its time; the store writes it where it has to compute it.
    """
    options = Options(
        scheduled_for=to_iso(envelope.scheduled_for_ms)
        if scheduled and envelope.scheduled_for_ms is not None
        else None,
        max_retries=envelope.max_retries,
        retry_delay=envelope.retry_delay_ms,
        overlap_behavior=JobOverlapBehavior.NO_OVERLAP.value if envelope.no_overlap else None,
        overlap_delay=envelope.overlap_delay_ms,
        timeout=envelope.timeout_ms,
        status_ttl=envelope.status_ttl_s,
    )
    encoded = _encode(options)
    return b"" if encoded == b"{}" else encoded


def enqueue_arguments(envelopes: Sequence[Envelope]) -> list[Argument]:
    """As enqueue.lua takes dispatches, which looks for all plain ones before it stores the first."""
    are_distinct = len(envelopes) == 1 or len({envelope.dispatch_id for envelope in envelopes}) == len(envelopes)
    arguments: list[Argument] = []
    for envelope in envelopes:
        job_id, dispatch_id, name, args, *others = astuple(envelope)
        shared = dispatch_id[len(DISPATCH_PREFIX) :]
        # Its ids are a pair, and it has no options: name and args say the rest.
        if others == _PLAIN and are_distinct and shared and _pair(shared) == (job_id, dispatch_id):
            arguments += (shared, NAME_PREFIX + name, args)
        else:
            arguments += _full_arguments(envelope)
    return arguments


def _pair(shared: str) -> tuple[str, str]:
    return JOB_PREFIX + shared, DISPATCH_PREFIX + shared


def _full_arguments(envelope: Envelope) -> tuple[Argument, ...]:
    due, delay = envelope.scheduled_for_ms, envelope.delay_ms
    return (
        "",
        envelope.job_id,
        envelope.dispatch_id,
        "1" if envelope.from_job else "",
        envelope.priority,
        "" if due is None and delay is None else f"{'' if due is None else due},{'' if delay is None else delay}",
        "1" if envelope.no_overlap else "",
        NAME_PREFIX + envelope.name,
        envelope.args,
        envelope.kwargs,
        encode_options(envelope),
    )


def fields_of(envelope: Envelope) -> list[Argument]:
    """The fields of its entry, in order."""
    fields: list[Argument] = ["job", NAME_PREFIX + envelope.name, "args", envelope.args]
    fields += ["jobId", envelope.job_id, "dispatchId", envelope.dispatch_id]
    if envelope.kwargs:
        fields += ["kwargs", envelope.kwargs]
    if options := encode_options(envelope, scheduled=True):
        fields += ["options", options]
    return fields


def mapping(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Names and values in turn, as Redis answers them."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


@lru_cache(maxsize=1000)
def _name_of(job: bytes) -> str:
    return job.decode().removeprefix(NAME_PREFIX)


#: What reading an entry of ours raises where somebody has changed it.
NOT_OURS = (KeyError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


def plain_envelope(
    job: bytes, args: bytes, job_id: bytes, dispatch_id: bytes, priority: int, further: Sequence[bytes]
) -> Envelope:
    """What an entry of ours says. ``further``: names and values of the fields that not every entry has.

    Raises:
        NOT_OURS: it is none of ours after all.
    """
    if further:
        fields = {b"job": job, b"args": args, b"jobId": job_id, b"dispatchId": dispatch_id, **mapping(further)}
        return envelope_of(fields, priority)
    return Envelope(
        job_id=job_id.decode(),
        dispatch_id=dispatch_id.decode(),
        name=_name_of(job),
        args=args,
        priority=priority,
    )


def envelope_of(fields: Mapping[bytes, bytes], priority: int = DEFAULT_PRIORITY) -> Envelope:
    """What an entry of ours says.

    Raises:
        NOT_OURS: it is none of ours after all.
    """
    encoded = fields.get(b"options")
    options = _decode_options(encoded) if encoded else Options()
    return Envelope(
        job_id=fields[b"jobId"].decode(),
        dispatch_id=fields[b"dispatchId"].decode(),
        name=_name_of(fields[b"job"]),
        args=fields[b"args"],
        kwargs=fields.get(b"kwargs", b""),
        priority=priority,
        no_overlap=options.overlap_behavior == JobOverlapBehavior.NO_OVERLAP,
        scheduled_for_ms=None if options.scheduled_for is None else from_iso(options.scheduled_for),
        overlap_delay_ms=options.overlap_delay,
        max_retries=options.max_retries,
        retry_delay_ms=options.retry_delay,
        timeout_ms=options.timeout,
        status_ttl_s=options.status_ttl,
    )


@lru_cache(maxsize=1000)
def time_of(text: bytes | None) -> int | None:
    """A time of a status hash; None where there is none, or none that can be read."""
    if not text:
        return None
    try:
        return from_iso(text.decode())
    except (ValueError, OverflowError):
        return None


def number_of(text: bytes | None, default: int = 0) -> int:
    """A number of a status hash."""
    try:
        return int(text) if text else default
    except ValueError:
        return default


def text_of(value: Any) -> str:
    """Text that Redis answered, whatever bytes somebody has put there."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
