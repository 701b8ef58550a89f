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


def _exclusive_runs(history: History) -> Iterator[list[Run]]:
    """Those of each job id of a queue, in the order of their starts."""
    by_job: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in history.all_runs():
        dispatched = history.dispatched.get(run.start.dispatch_id)
        if dispatched and dispatched.no_overlap:
            by_job[run.start.queue, run.start.job_id].append(run)
    for runs in by_job.values():
        yield sorted(runs, key=lambda run: run.start.at_ms)


def exclusive_runs_are_disjoint(history: History) -> Iterator[str]:
    """NO_OVERLAP runs of a job id of a queue do not overlap."""
    for runs in _exclusive_runs(history):
        for before, after in itertools.pairwise(runs):
            if history.end_ms(before) > after.start.at_ms:
                job_id = after.start.job_id
                yield f"{job_id}: {after.start.dispatch_id} runs while {before.start.dispatch_id} does"


def exclusive_runs_keep_their_distance(history: History) -> Iterator[str]:
    """The next NO_OVERLAP run of a job id waits for the overlap delay of the one before, which its worker reported."""
    for runs in _exclusive_runs(history):
        for before, after in itertools.pairwise(runs):
            delay_ms = history.dispatched[before.start.dispatch_id].overlap_delay_ms
            if (
                not delay_ms
                or before.end is None
                or before.end.outcome == STOPPED
                or history.lost_ms(before) is not None
            ):
                continue
            if (apart_ms := after.start.stored_ms - before.end.at_ms) < delay_ms:
                names = f"{after.start.dispatch_id} started {apart_ms} ms after {before.start.dispatch_id}"
                yield f"{after.start.job_id}: {names}, and not {delay_ms}"


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


def queues_are_served(history: History) -> Iterator[str]:
    """While a job is ready, some job of its queue starts within the patience; outages and pauses do not count."""
    starts: dict[str, list[int]] = defaultdict(list)
    for run in history.all_runs():
        starts[run.start.queue].append(run.start.stored_ms)
    for line in starts.values():
        line.sort()
    for name, start in _first_starts(history).items():
        waiting = history.dispatched.get(name)
        if waiting is None or waiting.no_overlap:
            continue
        ready_ms, line = _ready_ms(waiting, waiting.acknowledged_ms), starts[start.queue]
        # Of those that waited together only the first to start shows that nothing did before.
        if bisect.bisect_left(line, start.stored_ms) > bisect.bisect_right(line, ready_ms):
            continue
        if (waited_ms := history.unserved_ms(start.queue, ready_ms, start.stored_ms)) > history.patience_ms:
            yield f"{name} was ready for {waited_ms} ms, and nothing of queue {start.queue} started"
