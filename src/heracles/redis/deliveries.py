"""What a worker is given: jobs as exchange.lua and recover.lua answer them."""

from collections.abc import Sequence
from typing import Any

from heracles.model import Delivery, Report, ReportKind, Value
from heracles.redis.entries import NOT_OURS, mapping, number_of, plain_envelope, text_of, time_of
from heracles.redis.keys import DEFAULT_PRIORITY, NAME_PREFIX
from heracles.redis.records import read_envelope

#: How many values exchange.lua returns of each job that it has started.
STARTED_STRIDE = 8


class Unusable(Value, frozen=True, kw_only=True):
    """A job that was started, whose entry somebody has changed so that it cannot be understood."""

    job_id: str
    dispatch_id: str
    name: str
    token: int
    receipt: str
    error: str


Started = Delivery | Unusable


def read_started(values: Sequence[Any], now_ms: int) -> Sequence[Started]:
    """Of the values that exchange.lua returns."""
    items = zip(*[iter(values)] * STARTED_STRIDE, strict=True)
    return [read_delivery(item, now_ms) if isinstance(item[3], list) else _read_plain(now_ms, *item) for item in items]


def _read_plain(
    now_ms: int,
    message: bytes,
    priority: int,
    created: bytes,
    name: bytes,
    args: bytes,
    job_id: bytes,
    dispatch_id: bytes,
    further: Sequence[bytes],
) -> Started:
    try:
        envelope = plain_envelope(name, args, job_id, dispatch_id, priority, further)
    except NOT_OURS:
        fields = [b"job", name, b"args", args, b"jobId", job_id, b"dispatchId", dispatch_id, *further]
        return read_delivery([message, priority, created, fields, 1, 0, 1, (b"", b"")], now_ms)
    return Delivery(
        envelope=envelope,
        token=1,
        retries=0,
        deliveries=1,
        created_at_ms=time_of(created) or now_ms,
        started_at_ms=now_ms,
        receipt=_receipt(message, priority),
    )


def read_delivery(item: Sequence[Any], started_at_ms: int) -> Started:
    """Of a job that is not plain, as both scripts return it."""
    message, priority, created, fields, token, retries, deliveries, (error, unknown_since) = item[:STARTED_STRIDE]
    envelope, problem = read_envelope(fields, priority)
    receipt = _receipt(message, priority, retries)
    if envelope is None:
        has = mapping(fields)
        return Unusable(
            job_id=text_of(has[b"jobId"]),
            dispatch_id=text_of(has[b"dispatchId"]),
            name=text_of(has.get(b"job", b"")).removeprefix(NAME_PREFIX),
            token=token,
            receipt=receipt,
            error=problem,
        )
    return Delivery(
        envelope=envelope,
        token=token,
        retries=retries,
        deliveries=deliveries,
        created_at_ms=time_of(created) or started_at_ms,
        started_at_ms=started_at_ms,
        last_error=text_of(error) or None,
        unknown_since_ms=number_of(unknown_since) or None,
        receipt=receipt,
    )


def failing(job: Unusable, pause_on_error: bool) -> Report:
    """It ends with the cause."""
    return Report(
        kind=ReportKind.FAILED,
        job_id=job.job_id,
        dispatch_id=job.dispatch_id,
        token=job.token,
        receipt=job.receipt,
        name=job.name,
        error=job.error,
        pause_queue=pause_on_error,
    )


def _receipt(message: bytes, priority: int, retries: int = 0) -> str:
    """Where the job stands and what else a removed record would have told; places.lua reads it."""
    if retries:
        return f"{text_of(message)} {priority} {retries}"
    return text_of(message) if priority == DEFAULT_PRIORITY else f"{text_of(message)} {priority}"
