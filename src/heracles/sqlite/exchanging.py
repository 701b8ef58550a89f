"""One step of a worker: its reports applied, then jobs started for it."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from heracles.model import Exchange, Report, Session
from heracles.sqlite.reclaiming import reclaim
from heracles.sqlite.removal import trim_finished
from heracles.sqlite.reporting import apply
from heracles.sqlite.starting import next_due_ms, promote_due, start_ready
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
    verdicts = tuple(apply(turn, report) for report in step.reports)
    if step.slots > 0:
        promote_due(turn)
        reclaim(turn, pause_on_error=step.pause_on_error)
    may_start = step.slots > 0 and not turn.paused
    started = start_ready(turn, step.session, step.slots, suspects=step.suspects) if may_start else ()
    trim_finished(turn)
    return Exchange(verdicts=verdicts, started=started, next_due_ms=next_due_ms(turn), paused=turn.paused)


def tell_exchange(hub: Hub, step: Step, answer: Exchange, hints: Hints) -> None:
    """Pass on what a step did: jobs that this worker left are for others."""
    if step.slots > 0:
        hints = msgspec.structs.replace(hints, ready=0)
    hub.tell(hints)
    if answer.next_due_ms:
        hub.expect(step.queue, answer.next_due_ms)
    if 0 < step.slots <= len(answer.started):
        hub.filled(step.queue, step.session.consumer, more=answer.next_due_ms == 0)
