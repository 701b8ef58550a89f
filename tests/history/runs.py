"""Rules of the runs: what may start when, how often, and beside what."""

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping

from heracles.model import JobStatus
from tests.history.events import STOPPED, Dispatched, Started
from tests.history.model import NEVER_MS, History, Run


def attempts_have_no_gap(history: History) -> Iterator[str]:
    """Attempts are exactly 0..k."""
    for name, runs in history.runs.items():
        retries = sorted({run.start.retries for run in runs})
        finished = history.records_of(name)
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
            elif after.start.retries == before.start.retries and before.end.outcome != STOPPED:
                yield f"{name} runs again after it {before.end.outcome} on {before.start.worker}, which was well"


def tokens_rise(history: History) -> Iterator[str]:
    """Every start has a higher token than the one before."""
    for name, runs in history.runs.items():
        for before, after in itertools.pairwise(runs):
            if after.start.token > before.start.token or history.may_be_forgotten(before.start.stored_ms):
                continue
            yield f"{name} ran under the tokens {[run.start.token for run in runs]}"
            break


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
    starts = sorted((run.start.stored_ms, run.start.queue, run.start.dispatch_id) for run in history.all_runs())
    for pause in history.paused:
        if history.may_be_forgotten(pause.from_ms):
            continue
        until_ms = NEVER_MS if pause.until_ms is None else pause.until_ms
        first, last = (bisect.bisect_left(starts, (at_ms,)) for at_ms in (pause.from_ms + 1, until_ms))
        for stored_ms, queue, name in starts[first:last]:
            if queue == pause.queue:
                yield f"{name} started {stored_ms - pause.from_ms} ms after the pause"


def _ready_ms(dispatched: Dispatched, at_ms: int) -> int:
    return max(at_ms, dispatched.scheduled_for_ms or 0)


def _first_starts(history: History) -> Mapping[str, Started]:
    """By dispatch. In a failover two stores may start jobs, each what it knows: no order holds between them."""
    first = {name: runs[0].start for name, runs in history.runs.items()}
    return {name: start for name, start in first.items() if not history.may_be_forgotten(start.stored_ms)}


def priorities_hold(history: History) -> Iterator[str]:
    """A ready job is overtaken by ones of lower priority at most as often as workers had such jobs in hand."""
    first = {name: start for name, start in _first_starts(history).items() if name in history.dispatched}
    # By queue and priority: when its jobs first started.
    starts: dict[str, dict[int, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
    for name, start in first.items():
        starts[start.queue][history.dispatched[name].priority].append((start.stored_ms, name))
    for line in itertools.chain.from_iterable(by_priority.values() for by_priority in starts.values()):
        line.sort()
    for name, start in first.items():
        waiting = history.dispatched[name]
        # It may have waited for its lock; or its first start was that of a worker which died before the first line.
        if waiting.no_overlap or start.token > 1:
            continue
        since = (_ready_ms(waiting, waiting.acknowledged_ms) + 1, "")
        overtaking = [
            other
            for priority, line in starts[start.queue].items()
            if priority > waiting.priority
            for _, other in line[bisect.bisect_left(line, since) : bisect.bisect_left(line, (start.stored_ms, ""))]
        ]
        if len(overtaking) > history.in_hand:
            yield f"{name} (priority {waiting.priority}) was overtaken by {', '.join(overtaking)}"


def job_ids_are_first_in_first_out(history: History) -> Iterator[str]:
    """NO_OVERLAP dispatches of a job id start in the order in which they became ready."""
    lines: dict[tuple[str, str], list[tuple[Dispatched, Started]]] = defaultdict(list)
    for name, start in _first_starts(history).items():
        dispatched = history.dispatched.get(name)
        if dispatched and dispatched.no_overlap:
            lines[dispatched.queue, dispatched.job_id].append((dispatched, start))
    for line in lines.values():
        line.sort(key=lambda pair: pair[1].stored_ms)
        for (earlier, _), (later, _) in itertools.combinations(line, 2):
            if _ready_ms(later, later.acknowledged_ms) < _ready_ms(earlier, earlier.sent_ms):
                yield f"{earlier.dispatch_id} started before {later.dispatch_id}, which was ready first"
