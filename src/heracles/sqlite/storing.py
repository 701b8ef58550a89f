"""Envelopes to jobs: what ``enqueue`` does in its transaction."""

from collections.abc import Sequence

from heracles.model import Envelope, JobStatus, Stored, Storing
from heracles.sqlite.line import Standing, announce, standing
from heracles.sqlite.removal import drop_jobs
from heracles.sqlite.rows import State
from heracles.sqlite.starting import promote_due
from heracles.sqlite.turn import Turn


def store(turn: Turn, envelopes: Sequence[Envelope]) -> tuple[Stored, ...]:
    """Store each envelope whose dispatch id is new, one answer an envelope."""
    if any(envelope.no_overlap for envelope in envelopes):
        # What is due already stands before them in the lines of its job ids.
        promote_due(turn)
    return tuple(_store_one(turn, envelope) for envelope in envelopes)


def _store_one(turn: Turn, envelope: Envelope) -> Stored:
    if turn.draining and not envelope.from_job:
        return _known(turn, envelope) or _answer(envelope, Storing.DRAINING)
    return _add(turn, envelope) or _known(turn, envelope) or _add(turn, envelope) or _answer(envelope, Storing.EXISTING)


def _add(turn: Turn, envelope: Envelope) -> Stored | None:
    """The answer, or None where the dispatch id has a row already."""
    scheduled_ms = envelope.scheduled_for_ms if envelope.delay_ms is None else turn.now_ms + envelope.delay_ms
    stands = _standing(turn, envelope, scheduled_ms)
    added = turn.write(
        "add_job",
        job_id=envelope.job_id,
        dispatch_id=envelope.dispatch_id,
        name=envelope.name,
        priority=envelope.priority,
        no_overlap=int(envelope.no_overlap),
        scheduled_ms=scheduled_ms,
        overlap_delay_ms=envelope.overlap_delay_ms,
        max_retries=envelope.max_retries,
        retry_delay_ms=envelope.retry_delay_ms,
        timeout_ms=envelope.timeout_ms,
        status_ttl_s=envelope.status_ttl_s,
        **stands._asdict(),
    )
    if added.rowcount == 0:
        return None
    turn.write("add_entry", id=added.lastrowid, priority=envelope.priority, args=envelope.args, kwargs=envelope.kwargs)
    turn.entered(envelope.job_id, envelope.dispatch_id, JobStatus.PENDING)
    announce(turn, stands)
    return _answer(envelope, Storing.STORED)


def _standing(turn: Turn, envelope: Envelope, scheduled_ms: int | None) -> Standing:
    if scheduled_ms is not None and scheduled_ms > turn.now_ms:
        return Standing(int(State.SCHEDULED), None, scheduled_ms, None)
    return standing(turn, envelope.job_id, envelope.no_overlap, turn.next_place())


def _known(turn: Turn, envelope: Envelope) -> Stored | None:
    """The answer where the dispatch id has a record; one that has expired makes room."""
    found = turn.row("known_dispatch", dispatch_id=envelope.dispatch_id)
    if found is None:
        return None
    id, job_id, expires_ms, state = found
    if state == State.ENDED and expires_ms is not None and expires_ms <= turn.now_ms:
        drop_jobs(turn, [id])
        return None
    return Stored(storing=Storing.EXISTING, job_id=job_id, dispatch_id=envelope.dispatch_id)


def _answer(envelope: Envelope, storing: Storing) -> Stored:
    return Stored(storing=storing, job_id=envelope.job_id, dispatch_id=envelope.dispatch_id)
