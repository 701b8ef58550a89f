"""What happened in a run under faults, written down by those it happened to, and what such a history must show.

The driver of a test notes dispatches, gates, disturbances and the final records; every job appends its starts and ends.
All write to one file outside the store, a JSON object a line, appended in one system call. Times are epoch
milliseconds of one machine. ``check`` says in words what is wrong, nothing where all is well.
"""

import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from heracles.model import JobStatus
from heracles.units import now_ms


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of what a history holds."""


class Dispatched(Event, frozen=True, kw_only=True):
    """The store has acknowledged a dispatch."""

    queue: str
    job_id: str
    dispatch_id: str
    sent_ms: int
    acknowledged_ms: int
    is_known: bool = True
    """Whether its record was found right after."""
    priority: int = 10
    no_overlap: bool = False
    scheduled_for_ms: int | None = None


class Started(Event, frozen=True, kw_only=True):
    """A job's code has begun."""

    queue: str
    job_id: str
    dispatch_id: str
    worker: str
    token: int
    retries: int
    stored_ms: int
    """When the store recorded the start (``self.started_at``)."""
    at_ms: int


class Ended(Event, frozen=True, kw_only=True):
    """A job's code has ended: ``completed``, ``raised``, or ``stopped`` (cancelled or given back)."""

    dispatch_id: str
    token: int
    outcome: str
    at_ms: int


class Disturbed(Event, frozen=True, kw_only=True):
    """A worker was ``killed``, ``frozen``, ``cut off`` or ``without a store``. ``until_ms`` None: it did not end."""

    worker: str
    how: str
    from_ms: int
    until_ms: int | None = None


class Paused(Event, frozen=True, kw_only=True):
    """Nothing may start between the return of ``pause()`` and the call of ``resume()``."""

    queue: str
    from_ms: int
    until_ms: int | None = None


class Finished(Event, frozen=True, kw_only=True):
    """The record that the store had at the end."""

    dispatch_id: str
    status: JobStatus
    token: int
    retries: int


AnyEvent = Dispatched | Started | Ended | Disturbed | Paused | Finished
NEVER_MS = 1 << 60


def append(path: Path | str, event: AnyEvent) -> None:
    """Add one event; whole lines only, also from many processes at once and when killed midway."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, msgspec.json.encode(event) + b"\n")
    finally:
        os.close(file)


def read(path: Path | str) -> list[AnyEvent]:
    """All events, in the order in which they were written."""
    return [msgspec.json.decode(line, type=AnyEvent) for line in Path(path).read_bytes().splitlines()]


def starting(path: Path | str, *, queue: str, job_id: str, dispatch_id: str, worker: str, **run: int) -> None:
    """What a job calls first; ``run``: token, retries, stored_ms."""
    append(
        path,
        Started(queue=queue, job_id=job_id, dispatch_id=dispatch_id, worker=worker, at_ms=now_ms(), **run),
    )


def ending(path: Path | str, *, dispatch_id: str, token: int, outcome: str) -> None:
    """What a job calls last."""
    append(path, Ended(dispatch_id=dispatch_id, token=token, outcome=outcome, at_ms=now_ms()))


class Run(msgspec.Struct, frozen=True):
    """One start, with its end where there is one."""

    start: Started
    end: Ended | None

    @property
    def key(self) -> tuple[str, int]:
        """What no other run shares."""
        return self.start.dispatch_id, self.start.token


class History:
    """The events of a run, by what the rules ask for."""

    def __init__(self, events: Iterable[AnyEvent], lease_ms: int, in_hand: int) -> None:
        self.lease_ms = lease_ms
        self.in_hand = in_hand
        self.dispatched: dict[str, Dispatched] = {}
        self.finished: dict[str, list[Finished]] = defaultdict(list)
        self.runs: dict[str, list[Run]] = defaultdict(list)
        self.paused: list[Paused] = []
        self._disturbed: dict[str, list[Disturbed]] = defaultdict(list)
        ends: dict[tuple[str, int], Ended] = {}
        starts: list[Started] = []
        for event in events:
            match event:
                case Dispatched():
                    self.dispatched[event.dispatch_id] = event
                case Started():
                    starts.append(event)
                case Ended():
                    ends[event.dispatch_id, event.token] = event
                case Disturbed():
                    self._disturbed[event.worker].append(event)
                case Paused():
                    self.paused.append(event)
                case Finished():
                    self.finished[event.dispatch_id].append(event)
        for start in sorted(starts, key=lambda start: (start.stored_ms, start.token)):
            self.runs[start.dispatch_id].append(Run(start, ends.get((start.dispatch_id, start.token))))

    def all_runs(self) -> Iterator[Run]:
        """Of all dispatches."""
        return itertools.chain.from_iterable(self.runs.values())

    def lost_ms(self, run: Run, before_ms: int = NEVER_MS) -> int | None:
        """When, before a time, the run's worker was lost: killed, or away for at least half a lease."""
        for disturbed in self._disturbed[run.start.worker]:
            until_ms = min(NEVER_MS if disturbed.until_ms is None else disturbed.until_ms, before_ms)
            # From the store's start on: its worker may have been frozen before the first line of its code.
            if disturbed.from_ms > before_ms or until_ms < run.start.stored_ms:
                continue
            from_ms = max(disturbed.from_ms, run.start.stored_ms)
            if disturbed.how == "killed" or until_ms - from_ms >= self.lease_ms / 2:
                return from_ms
        return None

    def end_ms(self, run: Run) -> int:
        """When its code ended, or no longer counted as running."""
        lost_ms = self.lost_ms(run)
        ended_ms = run.end.at_ms if run.end else NEVER_MS
        return min(ended_ms, NEVER_MS if lost_ms is None else lost_ms)


# ------------------------------------------------------------------------------------------------------------ rules

Rule = Callable[[History], Iterator[str]]


def known_at_once(history: History) -> Iterator[str]:
    """Every acknowledged dispatch is known at once."""
    for dispatched in history.dispatched.values():
        if not dispatched.is_known:
            yield f"{dispatched.dispatch_id} was acknowledged and not found right after"


def ended_once(history: History) -> Iterator[str]:
    """Every acknowledged dispatch ended, and its outcome is that of the run that held the lease."""
    outcomes = {run.key: run.end.outcome for run in history.all_runs() if run.end}
    for name in history.dispatched:
        records = history.finished[name]
        if len(records) != 1 or not records[0].status.is_final:
            yield f"{name} ended {len(records)} times: {[record.status.value for record in records]}"
            continue
        (record,) = records
        outcome = outcomes.get((name, record.token))
        if record.status is JobStatus.COMPLETED and outcome != "completed":
            yield f"{name} is completed by token {record.token}, whose run {outcome or 'has no end'}"
        if record.status is JobStatus.FAILED and outcome == "completed":
            yield f"{name} is failed by token {record.token}, whose run completed"


def attempts_have_no_gap(history: History) -> Iterator[str]:
    """Attempts are exactly 0..k."""
    for name, runs in history.runs.items():
        retries = sorted({run.start.retries for run in runs})
        finished = history.finished[name]
        ran_to_its_end = bool(finished) and finished[0].status in (JobStatus.COMPLETED, JobStatus.FAILED)
        last = finished[0].retries if ran_to_its_end else retries[-1]
        if retries != list(range(last + 1)):
            yield f"{name} ran as attempts {retries}, of 0 to {last}"


def reruns_have_a_cause(history: History) -> Iterator[str]:
    """What runs again has ended before, or lost its worker, or was given back."""
    for name, runs in history.runs.items():
        for before, after in itertools.pairwise(runs):
            if history.lost_ms(before, after.start.at_ms) is not None:
                continue
            if before.end is None or before.end.at_ms > after.start.at_ms:
                yield f"{name} runs again on {after.start.worker} while it runs on {before.start.worker}"
            elif after.start.retries == before.start.retries and before.end.outcome != "stopped":
                yield f"{name} runs again after it {before.end.outcome} on {before.start.worker}, which was well"


def tokens_rise(history: History) -> Iterator[str]:
    """Every start has a higher token than the one before."""
    for name, runs in history.runs.items():
        tokens = [run.start.token for run in runs]
        if tokens != sorted(set(tokens)):
            yield f"{name} ran under the tokens {tokens}"


def exclusive_runs_are_disjoint(history: History) -> Iterator[str]:
    """NO_OVERLAP runs of a job id of a queue do not overlap."""
    by_job: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in history.all_runs():
        dispatched = history.dispatched.get(run.start.dispatch_id)
        if dispatched and dispatched.no_overlap:
            by_job[run.start.queue, run.start.job_id].append(run)
    for (_, job_id), runs in by_job.items():
        runs.sort(key=lambda run: run.start.at_ms)
        for before, after in itertools.pairwise(runs):
            if history.end_ms(before) > after.start.at_ms:
                yield f"{job_id}: {after.start.dispatch_id} runs while {before.start.dispatch_id} does"


def never_early(history: History) -> Iterator[str]:
    """Nothing starts before the time it is scheduled for."""
    for run in history.all_runs():
        dispatched = history.dispatched.get(run.start.dispatch_id)
        due_ms = dispatched.scheduled_for_ms if dispatched else None
        if due_ms is not None and run.start.stored_ms < due_ms:
            yield f"{run.start.dispatch_id} started {due_ms - run.start.stored_ms} ms early"


def nothing_starts_in_a_pause(history: History) -> Iterator[str]:
    """Once pause has returned, the store records no start until resume."""
    for pause, run in itertools.product(history.paused, history.all_runs()):
        until_ms = NEVER_MS if pause.until_ms is None else pause.until_ms
        if run.start.queue == pause.queue and pause.from_ms < run.start.stored_ms < until_ms:
            yield f"{run.start.dispatch_id} started {run.start.stored_ms - pause.from_ms} ms after the pause"


def _ready_ms(dispatched: Dispatched, at_ms: int) -> int:
    return max(at_ms, dispatched.scheduled_for_ms or 0)


def priorities_hold(history: History) -> Iterator[str]:
    """A ready job is overtaken by ones of lower priority at most as often as workers had such jobs in hand."""
    first = {name: runs[0].start for name, runs in history.runs.items() if name in history.dispatched}
    for name, start in first.items():
        waiting = history.dispatched[name]
        if waiting.no_overlap:
            continue  # it may have waited for its lock
        ready_ms = _ready_ms(waiting, waiting.acknowledged_ms)
        overtaking = [
            other
            for other, ran in first.items()
            if ran.queue == waiting.queue
            and history.dispatched[other].priority > waiting.priority
            and ready_ms < ran.stored_ms < start.stored_ms
        ]
        if len(overtaking) > history.in_hand:
            yield f"{name} (priority {waiting.priority}) was overtaken by {', '.join(overtaking)}"


def job_ids_are_first_in_first_out(history: History) -> Iterator[str]:
    """NO_OVERLAP dispatches of a job id start in the order in which they became ready."""
    lines: dict[tuple[str, str], list[tuple[Dispatched, Started]]] = defaultdict(list)
    for name, runs in history.runs.items():
        dispatched = history.dispatched.get(name)
        if dispatched and dispatched.no_overlap:
            lines[dispatched.queue, dispatched.job_id].append((dispatched, runs[0].start))
    for line in lines.values():
        for (first, started), (second, started_later) in itertools.permutations(line, 2):
            surely_before = _ready_ms(first, first.acknowledged_ms) < _ready_ms(second, second.sent_ms)
            if surely_before and started_later.stored_ms < started.stored_ms:
                yield f"{second.dispatch_id} started before {first.dispatch_id}, which was ready first"


RULES: Sequence[Rule] = (
    known_at_once,
    ended_once,
    attempts_have_no_gap,
    reruns_have_a_cause,
    tokens_rise,
    exclusive_runs_are_disjoint,
    never_early,
    nothing_starts_in_a_pause,
    priorities_hold,
    job_ids_are_first_in_first_out,
)


def check(events: Iterable[AnyEvent], *, lease_ms: int, in_hand: int = 0) -> list[str]:
    """What is wrong, a sentence each, with the rule's name in front.

    ``in_hand``: how many jobs all workers together may have held back beyond those that they ran.
    """
    history = History(events, lease_ms, in_hand)
    return [f"{rule.__name__}: {sentence}" for rule in RULES for sentence in rule(history)]
