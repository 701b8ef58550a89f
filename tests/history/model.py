"""The events of a run under faults, by what the rules ask for."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tests.history.events import (
    EVERYONE,
    FAILOVER,
    KILLED,
    AnyEvent,
    Cancelled,
    Cancelling,
    Changed,
    Counted,
    Dispatched,
    Disturbed,
    Ended,
    Finished,
    Paused,
    Returned,
    Sent,
    Started,
)

NEVER_MS = 1 << 60


class Run(msgspec.Struct, frozen=True):
    """One start, with its end where there is one."""

    start: Started
    end: Ended | None

    @property
    def ended_ms(self) -> int:
        """When its code ended, as far as is known."""
        return self.end.at_ms if self.end else NEVER_MS


class History:
    """What happened, in order."""

    def __init__(self, events: Iterable[AnyEvent], lease_ms: int, in_hand: int, patience_ms: int) -> None:
        self.lease_ms = lease_ms
        self.patience_ms = patience_ms
        self.in_hand = in_hand
        self.sent: dict[str, Sent] = {}
        self.dispatched: dict[str, Dispatched] = {}
        self.cancelling: set[str] = set()
        self.cancelled: list[Cancelled] = []
        self.changes: dict[str, list[Changed]] = defaultdict(list)
        self.has_gaps: set[str] = set()
        self.returned: list[Returned] = []
        self.finished: dict[str, list[Finished]] = defaultdict(list)
        self.counted: list[Counted] = []
        self.runs: dict[str, list[Run]] = defaultdict(list)
        self.paused: list[Paused] = []
        self.failovers: list[Disturbed] = []
        self._disturbed: dict[str, list[Disturbed]] = defaultdict(list)
        self._away: dict[str, Sequence[tuple[int, int]]] = {}
        self._ends: dict[tuple[str, int, str], Ended] = {}
        starts: list[Started] = []
        for event in events:
            if isinstance(event, Started):
                starts.append(event)
            else:
                self._add(event)
        for start in sorted(starts, key=lambda start: (start.stored_ms, start.token)):
            self.runs[start.dispatch_id].append(Run(start, self._end_of(start)))

    def _add(self, event: AnyEvent) -> None:
        match event:
            case Sent():
                self.sent[event.dispatch_id] = event
            case Dispatched():
                # A dispatch that was repeated under its id is the first one.
                self.dispatched.setdefault(event.dispatch_id, event)
            case Cancelling():
                self.cancelling.add(event.dispatch_id)
            case Cancelled():
                self.cancelled.append(event)
            case Ended():
                self._ends[event.dispatch_id, event.token, event.worker] = event
            case Disturbed():
                (self.failovers if event.how == FAILOVER else self._disturbed[event.worker]).append(event)
            case Paused():
                self.paused.append(event)
            case Changed():
                self._add_change(event)
            case Returned():
                self.returned.append(event)
            case Finished():
                self.finished[event.dispatch_id].append(event)
            case Counted():
                self.counted.append(event)

    def _add_change(self, event: Changed) -> None:
        if event.status is None:
            self.has_gaps.add(event.queue)
        else:
            self.changes[event.dispatch_id].append(event)

    def _end_of(self, start: Started) -> Ended | None:
        name, token = start.dispatch_id, start.token
        return self._ends.get((name, token, start.worker)) or self._ends.get((name, token, ""))

    def all_runs(self) -> Iterator[Run]:
        """Of all dispatches."""
        return itertools.chain.from_iterable(self.runs.values())

    def runs_of(self, dispatch_id: str) -> Sequence[Run]:
        """In the order of their starts."""
        return self.runs.get(dispatch_id, ())

    def records_of(self, dispatch_id: str) -> Sequence[Finished]:
        """What was read of it at the end: one where all is well."""
        return self.finished.get(dispatch_id, ())

    # ------------------------------------------------------------------------------------------------ disturbances

    def lost_ms(self, run: Run, before_ms: int = NEVER_MS) -> int | None:
        """When, before a time, the run's worker was lost: killed, or away for at least half a lease.

        Also when a failover may have forgotten that it ran, or that it ended.
        """
        return min(self._losses(run.start.worker, run.start.stored_ms, before_ms), default=None)

    def _losses(self, worker: str, stored_ms: int, before_ms: int) -> Iterator[int]:
        # From the store's start on: its worker may have been frozen before the first line of its code.
        for disturbed in self._disturbed.get(worker, ()):
            until_ms = min(_until_ms(disturbed), before_ms)
            if disturbed.how == KILLED and disturbed.from_ms <= before_ms and until_ms >= stored_ms:
                yield max(disturbed.from_ms, stored_ms)
        for failover in self.failovers:
            if failover.from_ms <= before_ms and _until_ms(failover) >= stored_ms:
                yield max(failover.from_ms, stored_ms)
        for from_ms, until_ms in self._away_of(worker):
            if min(until_ms, before_ms) - max(from_ms, stored_ms) >= self.lease_ms / 2:
                yield max(from_ms, stored_ms)

    def unserved_ms(self, queue: str, from_ms: int, until_ms: int) -> int:
        """How much of that time the store was there and the queue was not paused."""
        pauses = [(pause.from_ms, _until_ms(pause)) for pause in self.paused if pause.queue == queue]
        outages = [(one.from_ms, _until_ms(one)) for one in (*self._disturbed.get(EVERYONE, ()), *self.failovers)]
        closed = _joined(sorted(pauses + outages), 0)
        return until_ms - from_ms - sum(max(0, min(end, until_ms) - max(begin, from_ms)) for begin, end in closed)

    def _away_of(self, worker: str) -> Sequence[tuple[int, int]]:
        """From when until when it could not renew its leases."""
        if worker not in self._away:
            disturbed = [*self._disturbed[worker], *self._disturbed[EVERYONE]]
            spans = sorted((one.from_ms, _until_ms(one)) for one in disturbed if one.how != KILLED)
            # Between two that follow each other closely no heartbeat is due.
            self._away[worker] = list(_joined(spans, self.lease_ms / 3))
        return self._away[worker]

    def end_ms(self, run: Run) -> int:
        """When its code ended, or no longer counted as running."""
        lost_ms = self.lost_ms(run)
        return min(run.ended_ms, NEVER_MS if lost_ms is None else lost_ms)

    def may_be_forgotten(self, at_ms: int) -> bool:
        """Whether a failover may have lost what the store acknowledged then."""
        return any(failover.from_ms <= at_ms <= _until_ms(failover) for failover in self.failovers)


def _until_ms(event: Disturbed | Paused) -> int:
    return NEVER_MS if event.until_ms is None else event.until_ms


def _joined(spans: Iterable[tuple[int, int]], most_apart_ms: float) -> Iterator[tuple[int, int]]:
    current: tuple[int, int] | None = None
    for from_ms, until_ms in spans:
        if current is not None and from_ms - current[1] < most_apart_ms:
            current = (current[0], max(current[1], until_ms))
            continue
        if current is not None:
            yield current
        current = (from_ms, until_ms)
    if current is not None:
        yield current
