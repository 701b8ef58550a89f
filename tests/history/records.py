"""Rules of the records: what the store must know, and how it must have ended."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator

from heracles.model import FINAL, TRANSITIONS, JobStatus
from tests.history.events import COMPLETED, Finished
from tests.history.model import History

#: What a job's error says when the store gave it up.
_TOO_MANY_DEATHS = "max_deliveries"
#: Of five starts without a report, how many must be seen: a worker may die before the first line of a job.
_DEATHS_SEEN = 3
#: Begins the error of a job whose time was over, which its thread may not have been told before it ended.
_OUT_OF_TIME = "TimeoutError: it ran longer"


def known_at_once(history: History) -> Iterator[str]:
    """Every acknowledged dispatch is known at once."""
    for dispatched in history.dispatched.values():
        if not dispatched.is_known:
            yield f"{dispatched.dispatch_id} was acknowledged and not found right after"


def ended_once(history: History) -> Iterator[str]:
    """Every acknowledged dispatch ended, and its outcome is that of the run that held the lease.

    One that was sent and not acknowledged is not known, or it ended too.
    """
    outcomes: dict[tuple[str, int], list[str]] = defaultdict(list)
    for run in history.all_runs():
        if run.end:
            outcomes[run.start.dispatch_id, run.start.token].append(run.end.outcome)
    for name in {**history.dispatched, **history.sent}:
        records = history.records_of(name)
        if not records and name not in history.dispatched:
            continue
        if len(records) != 1 or not records[0].status.is_final:
            yield f"{name} ended {len(records)} times: {[record.status.value for record in records]}"
            continue
        yield from _outcome_is_of_its_run(records[0], outcomes[name, records[0].token])


def _outcome_is_of_its_run(record: Finished, outcomes: list[str]) -> Iterator[str]:
    name, said = record.dispatch_id, " and ".join(outcomes) or "has no end"
    if record.status is JobStatus.COMPLETED and COMPLETED not in outcomes:
        yield f"{name} is completed by token {record.token}, whose run {said}"
    is_out_of_time = (record.error or "").startswith(_OUT_OF_TIME)
    if record.status is JobStatus.FAILED and outcomes == [COMPLETED] and not is_out_of_time:
        yield f"{name} is failed by token {record.token}, whose run completed"


def results_are_of_the_run_that_counts(history: History) -> Iterator[str]:
    """What a job returned is stored with the token of the run that returned it."""
    for name, records in history.finished.items():
        for record in records:
            if record.result is not None and record.result != record.token:
                yield f"{name} has the result of token {record.result}, and token {record.token}"
    for returned in history.returned:
        name = returned.dispatch_id
        if history.may_be_forgotten(returned.at_ms):
            continue
        if [returned.result] != [record.result for record in history.records_of(name)]:
            yield f"{name} was told to have returned {returned.result}, and its record says otherwise"


def ends_as_its_code_does(history: History) -> Iterator[str]:
    """A job ends as its code makes it end, or CANCELLED, or FAILED because its workers died too often."""
    for name, sent in history.sent.items():
        for record in history.records_of(name):
            if record.status in sent.ends or record.status is JobStatus.CANCELLED or not record.status.is_final:
                continue
            lost = [run for run in history.runs_of(name) if history.lost_ms(run) is not None]
            if record.status is JobStatus.FAILED and _TOO_MANY_DEATHS in (record.error or ""):
                if len(lost) >= _DEATHS_SEEN:
                    continue
                yield f"{name} is failed for its workers' deaths, of which {len(lost)} were seen"
            else:
                yield f"{name} ({sent.kind}) is {record.status.value}: {record.error}"


def cancelled_as_told(history: History) -> Iterator[str]:
    """What ``cancel`` calls cancelled ends so and starts no more; nothing else does."""
    for name, records in history.finished.items():
        if records[0].status is JobStatus.CANCELLED and name in history.sent and name not in history.cancelling:
            yield f"{name} is cancelled, and nobody asked for it"
    for cancelled in history.cancelled:
        name = cancelled.dispatch_id
        if not cancelled.answer or history.may_be_forgotten(cancelled.at_ms):
            continue
        statuses = [record.status for record in history.records_of(name)]
        if statuses != [JobStatus.CANCELLED]:
            yield f"{name} was cancelled, and ended {[status.value for status in statuses]}"
        for run in history.runs_of(name):
            if run.start.stored_ms > cancelled.at_ms:
                yield f"{name} started {run.start.stored_ms - cancelled.at_ms} ms after it was cancelled"


def only_what_was_sent_runs(history: History) -> Iterator[str]:
    """Whatever runs was dispatched by somebody."""
    for name in history.runs:
        if name not in history.dispatched and name not in history.sent:
            yield f"{name} ran, and nobody sent it"


def changes_are_legal(history: History) -> Iterator[str]:
    """The events of a dispatch begin with PENDING, follow the table of transitions, and have one end."""
    if history.failovers:
        return  # it may have forgotten what it had told
    for name, changes in history.changes.items():
        if changes[0].queue in history.has_gaps:
            continue
        statuses = [None, *(change.status for change in changes)]
        for before, after in itertools.pairwise(statuses):
            if after not in TRANSITIONS[before]:
                yield f"{name} was told to go from {before} to {after}: {[str(status) for status in statuses[1:]]}"
        told, records = statuses[-1], history.records_of(name)
        if records and told != records[0].status:
            yield f"{name} was told to be {told} last, and is {records[0].status}"


def counts_agree(history: History) -> Iterator[str]:
    """Nothing is left, and the totals are those of the records."""
    found: dict[str, Counter[JobStatus]] = defaultdict(Counter)
    for name, records in history.finished.items():
        origin = history.sent.get(name) or history.dispatched.get(name)
        if origin is not None:
            found[origin.queue][records[0].status] += 1
    for counted in history.counted:
        for status in JobStatus:
            there, ours = counted.counts.get(status, 0), found[counted.queue][status] if status in FINAL else 0
            if there != ours:
                yield f"queue {counted.queue} counts {there} {status.value}, and there are {ours}"
