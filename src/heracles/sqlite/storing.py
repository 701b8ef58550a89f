"""Envelopes to jobs: what ``enqueue`` does in its transaction."""

from collections.abc import Sequence

import msgspec

from heracles.model import Envelope, JobStatus, Stored, Storing
from heracles.sqlite.line import Standing, announce, standing
from heracles.sqlite.removal import drop_expired
from heracles.sqlite.rows import State, entry_of
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
    as_stored = [_settled(turn, envelope) for envelope in envelopes]
    added = _add(turn, as_stored)
    return tuple(
        _answer(envelope, Storing.STORED) if is_added else _known(turn, envelope) or _store_all(turn, [envelope])[0]
        for envelope, is_added in zip(as_stored, added, strict=True)
    )


def _settled(turn: Turn, envelope: Envelope) -> Envelope:
    """The envelope as it is kept: due by the store's clock, without what does not travel."""
    if envelope.delay_ms is None and not envelope.from_job:
        return envelope
    due_ms = envelope.scheduled_for_ms if envelope.delay_ms is None else turn.now_ms + envelope.delay_ms
    return msgspec.structs.replace(envelope, scheduled_for_ms=due_ms, delay_ms=None, from_job=False)


def _add(turn: Turn, envelopes: Sequence[Envelope]) -> Sequence[bool]:
    """Add a row and an entry for each whose dispatch id has no row yet; which."""
    first = turn.next_id()
    new = list(enumerate(envelopes, first))
    add = _add_ready if all(map(_is_plain, envelopes)) else _add_any
    added = [True] * len(envelopes)
    if add(turn, new) < len(envelopes):
        found = {id for (id,) in turn.rows("ids_from", id=first)}
        added = [id in found for id, _ in new]
        new = [each for each in new if each[0] in found]
    entries = [(id, entry_of(envelope)) for id, envelope in new]
    turn.write_rows("add_entries", entries)
    turn.all_entered([(envelope.job_id, envelope.dispatch_id) for _, envelope in new], JobStatus.PENDING)
    return added


def _is_plain(envelope: Envelope) -> bool:
    return not (
        envelope.no_overlap
        or envelope.scheduled_for_ms is not None
        or envelope.overlap_delay_ms is not None
        or envelope.status_ttl_s is not None
    )


def _add_ready(turn: Turn, new: Sequence[tuple[int, Envelope]]) -> int:
    """Add rows of plain dispatches; how many."""
    first = new[0][0]
    # Each place is its id and this.
    base = turn.next_place(len(new)) - first
    rows = [(id, each.job_id, each.dispatch_id, each.name, each.priority) for id, each in new]
    added = turn.write_rows("add_ready_jobs", rows, turn.queue_id, turn.now_ms, base)
    turn.became_ready(added)
    return added


def _add_any(turn: Turn, new: Sequence[tuple[int, Envelope]]) -> int:
    """Add rows; how many."""
    stands = [_standing(turn, envelope) for _, envelope in new]
    for each in stands:
        announce(turn, each)
    rows = [_job(*each, stand) for each, stand in zip(new, stands, strict=True)]
    return turn.write_rows("add_jobs", rows, turn.queue_id, turn.now_ms)


def _job(id: int, envelope: Envelope, stands: Standing) -> tuple[object, ...]:
    """In the order of the statement ``add_jobs``."""
    return (
        id,
        envelope.job_id,
        envelope.dispatch_id,
        envelope.name,
        envelope.priority,
        stands.state,
        1 if envelope.no_overlap else 0,
        stands.place,
        stands.due_ms,
        stands.line,
        envelope.scheduled_for_ms,
        envelope.overlap_delay_ms,
        envelope.status_ttl_s,
    )


def _standing(turn: Turn, envelope: Envelope) -> Standing:
    scheduled_ms = envelope.scheduled_for_ms
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
        drop_expired(turn, id, expires_ms)
        return None
    return Stored(storing=Storing.EXISTING, job_id=job_id, dispatch_id=envelope.dispatch_id)


def _answer(envelope: Envelope, storing: Storing) -> Stored:
    return Stored(storing=storing, job_id=envelope.job_id, dispatch_id=envelope.dispatch_id)
