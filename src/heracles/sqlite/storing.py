"""Envelopes to jobs: what ``enqueue`` does in its transaction."""

from collections.abc import Sequence

from heracles.model import Envelope, JobStatus, Stored, Storing
from heracles.sqlite.line import Standing, announce, standing
from heracles.sqlite.pairs import is_named
from heracles.sqlite.removal import drop_jobs
from heracles.sqlite.rows import State
from heracles.sqlite.starting import promote_due
from heracles.sqlite.turn import Turn


def store(turn: Turn, envelopes: Sequence[Envelope]) -> tuple[Stored, ...]:
    """Store each envelope whose dispatch id is new, one answer an envelope."""
    has_lines = any(envelope.no_overlap for envelope in envelopes)
    if has_lines:
        # What is due already stands before them in the lines of its job ids.
        promote_due(turn)
    if turn.draining:
        return tuple(_store_while_draining(turn, envelope) for envelope in envelopes)
    if not has_lines:
        return _store_all(turn, envelopes)
    # One by one, as where each stands in its line depends on those before it.
    return tuple(stored for envelope in envelopes for stored in _store_all(turn, [envelope]))


def _store_while_draining(turn: Turn, envelope: Envelope) -> Stored:
    if envelope.from_job:
        return _store_all(turn, [envelope])[0]
    return _known(turn, envelope) or _answer(envelope, Storing.DRAINING)


def _store_all(turn: Turn, envelopes: Sequence[Envelope]) -> tuple[Stored, ...]:
    added = _add(turn, envelopes)
    return tuple(
        _answer(envelope, Storing.STORED) if is_added else _known(turn, envelope) or _store_all(turn, [envelope])[0]
        for envelope, is_added in zip(envelopes, added, strict=True)
    )


def _add(turn: Turn, envelopes: Sequence[Envelope]) -> list[bool]:
    """Add a row and an entry for each whose dispatch id has no row yet; which."""
    first = turn.next_id()
    stands = [_standing(turn, envelope) for envelope in envelopes]
    rows = [_job(turn, id, *each) for id, each in enumerate(zip(envelopes, stands, strict=True), first)]
    if turn.write_rows("add_jobs", rows) == len(envelopes):
        added = [True] * len(envelopes)
    else:
        found = {id for (id,) in turn.rows("ids_from", id=first)}
        added = [id in found for id in range(first, first + len(envelopes))]
    new = [(id, each) for id, (each, is_added) in enumerate(zip(envelopes, added, strict=True), first) if is_added]
    turn.write_rows("add_entries", [(id, turn.queue_id, each.priority, each.args, each.kwargs) for id, each in new])
    for id, each in new:
        turn.entered(each.job_id, each.dispatch_id, JobStatus.PENDING)
        announce(turn, stands[id - first])
    return added


def _job(turn: Turn, id: int, envelope: Envelope, stands: Standing) -> tuple[object, ...]:
    """In the order of the statement ``add_jobs``."""
    return (
        id,
        turn.queue_id,
        envelope.job_id,
        envelope.dispatch_id,
        is_named(envelope.job_id, envelope.dispatch_id),
        envelope.name,
        stands.state,
        envelope.priority,
        1 if envelope.no_overlap else 0,
        stands.place,
        stands.due_ms,
        stands.line,
        turn.now_ms,
        _scheduled_ms(turn, envelope),
        envelope.overlap_delay_ms,
        envelope.max_retries,
        envelope.retry_delay_ms,
        envelope.timeout_ms,
        envelope.status_ttl_s,
    )


def _scheduled_ms(turn: Turn, envelope: Envelope) -> int | None:
    return envelope.scheduled_for_ms if envelope.delay_ms is None else turn.now_ms + envelope.delay_ms


def _standing(turn: Turn, envelope: Envelope) -> Standing:
    scheduled_ms = _scheduled_ms(turn, envelope)
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
