"""One step of a worker: its reports applied, then jobs started for it."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from heracles.model import Delivery, Exchange, Report, Session
from heracles.sqlite.reclaiming import reclaim
from heracles.sqlite.removal import trim_finished
from heracles.sqlite.reporting import apply_all
from heracles.sqlite.starting import Times, first_times, next_due_ms, promote_due, start_ready
from heracles.sqlite.turn import Hints, Turn
from heracles.sqlite.wake import Hub


class Step(NamedTuple):
    """What one transaction does for a worker."""

    queue: str
    session: Session
    reports: Sequence[Report]
    slots: int
    suspects: bool
    pause_on_error: bool


def exchange(turn: Turn, step: Step) -> Exchange:
    """Apply the reports, then start up to ``slots`` ready jobs."""
    verdicts = apply_all(turn, step.reports)
    times = first_times(turn)
    started: Sequence[Delivery] = ()
    if step.slots > 0:
        times = _move_on(turn, times, pause_on_error=step.pause_on_error)
        if not turn.paused:
            started = start_ready(turn, step.session, step.slots, suspects=step.suspects)
            if len(started) < step.slots and turn.has_set_aside:
                times = first_times(turn)
    trim_finished(turn)
    # Where slots are left, nothing is.
    may_be_ready = len(started) >= step.slots
    return Exchange(
        verdicts=verdicts,
        started=tuple(started),
        next_due_ms=next_due_ms(turn, times, may_be_ready=may_be_ready),
        paused=turn.paused,
    )


def _move_on(turn: Turn, times: Times, *, pause_on_error: bool) -> Times:
    """Move what has become due to the ready jobs, and reclaim what has outlived its lease; what comes first then."""
    is_due, has_ended = turn.is_over(times.due_ms), turn.is_over(times.lease_ms)
    if is_due:
        promote_due(turn)
    if has_ended:
        reclaim(turn, pause_on_error=pause_on_error)
    return first_times(turn) if is_due or has_ended else times


def tell_exchange(hub: Hub, step: Step, answer: Exchange, hints: Hints) -> None:
    """Pass on what a step did: jobs that this worker left are for others."""
    if step.slots > 0:
        hints = msgspec.structs.replace(hints, ready=0)
    hub.tell(hints)
    if answer.next_due_ms:
        hub.expect(step.queue, answer.next_due_ms)
    if 0 < step.slots <= len(answer.started):
        hub.filled(step.queue, step.session.consumer, more=answer.next_due_ms == 0)
