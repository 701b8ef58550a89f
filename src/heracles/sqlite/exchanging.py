"""One step of a worker: its reports applied, then jobs started for it."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from heracles.model import Delivery, Exchange, Report, Session, Verdict
from heracles.options import StoreSettings
from heracles.sqlite.reclaiming import reclaim
from heracles.sqlite.removal import trim_finished
from heracles.sqlite.reporting import apply_all
from heracles.sqlite.starting import Times, first_times, is_suspect, next_due_ms, promote_due, start_ready
from heracles.sqlite.turn import Hints, Turn
from heracles.sqlite.wake import Hub
from heracles.sqlite.writer import Effect


class Step(NamedTuple):
    """What one transaction does for a worker."""

    queue: str
    session: Session
    reports: Sequence[Report]
    slots: int
    suspects: bool
    pause_on_error: bool


class ExchangeWork:
    """What a worker asks for; of several calls that one makes at once, all in one step, which costs little more."""

    def __init__(self, step: Step, hub: Hub, settings: StoreSettings, clock: Callable[[], int]) -> None:
        self.step = step
        self._hub = hub
        self._settings = settings
        self._clock = clock

    @property
    def kind(self) -> object:
        """Calls for one session's jobs of one queue, by one transport."""
        return self.step.queue, self.step.session, self.step.pause_on_error, self._settings, self._clock

    def together(
        self, connection: sqlite3.Connection, works: Sequence["ExchangeWork"]
    ) -> Sequence[tuple[Exchange, Effect | None]]:
        """Do these works in one step; what each of them is to return."""
        step, hub = joined([work.step for work in works]), self._hub
        if step.slots > 0:
            hub.looking(step.queue, step.session.consumer)
        turn = Turn.on(connection, step.queue, self._clock(), self._settings)
        if turn is None:
            return [(Exchange(verdicts=(Verdict.LOST,) * len(work.step.reports)), None) for work in works]
        answer = exchange(turn, step)
        hints = turn.close()
        answers = _parted(answer, [work.step for work in works])
        return [(answers[0], lambda: tell_exchange(hub, step, answer, hints)), *[(each, None) for each in answers[1:]]]


def joined(steps: Sequence[Step]) -> Step:
    """One step that does what all these do."""
    if len(steps) == 1:
        return steps[0]
    return steps[0]._replace(
        reports=[report for step in steps for report in step.reports],
        slots=sum(step.slots for step in steps),
        suspects=any(step.suspects and step.slots > 0 for step in steps),
    )


def _parted(answer: Exchange, steps: Sequence[Step]) -> list[Exchange]:
    """To each step its verdicts, and as many started jobs as it has slots for."""
    if len(steps) == 1:
        return [answer]
    verdicts, started = list(answer.verdicts), list(answer.started)
    parts: dict[int, Exchange] = {}
    # A suspect, one at most, is for one that asked for it.
    started.sort(key=is_suspect, reverse=True)
    for number in sorted(range(len(steps)), key=lambda number: not steps[number].suspects):
        slots = steps[number].slots
        parts[number] = msgspec.structs.replace(answer, verdicts=(), started=tuple(started[:slots]))
        del started[:slots]
    first = 0
    for number, step in enumerate(steps):
        parts[number] = msgspec.structs.replace(
            parts[number], verdicts=tuple(verdicts[first : first + len(step.reports)])
        )
        first += len(step.reports)
    return [parts[number] for number in range(len(steps))]


def exchange(turn: Turn, step: Step) -> Exchange:
    """Apply the reports, then start up to ``slots`` ready jobs."""
    verdicts = apply_all(turn, step.reports)
    times = first_times(turn)
    started: Sequence[Delivery] = ()
    if step.slots > 0:
        times = _move_on(turn, times, pause_on_error=step.pause_on_error)
        if not turn.paused:
            started = start_ready(
                turn, step.session, step.slots, suspects=step.suspects, pause_on_error=step.pause_on_error
            )
            if len(started) < step.slots and turn.has_set_aside:
                times = first_times(turn)
    trim_finished(turn, is_busy=0 < step.slots <= len(started))
    # Where slots are left, nothing is.
    may_be_ready = turn.has_left_ready or len(started) >= step.slots
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
