"""What happened in a run under faults, written down by those it happened to, and what such a history must show.

The driver of a test notes dispatches, gates, disturbances and the final records; every job appends its starts and ends.
All write to one file outside the store. Times are epoch milliseconds of one machine. ``check`` says in words what is
wrong, nothing where all is well.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from tests.history import records, runs
from tests.history.events import (
    EVERYONE,
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
    append,
    ending,
    read,
    starting,
)
from tests.history.model import NEVER_MS, History, Run

Rule = Callable[[History], Iterator[str]]

RULES: Sequence[Rule] = (
    records.known_at_once,
    records.ended_once,
    records.results_are_of_the_run_that_counts,
    records.ends_as_its_code_does,
    records.cancelled_as_told,
    records.only_what_was_sent_runs,
    records.changes_are_legal,
    records.counts_agree,
    runs.attempts_have_no_gap,
    runs.reruns_have_a_cause,
    runs.tokens_rise,
    runs.exclusive_runs_are_disjoint,
    runs.exclusive_runs_keep_their_distance,
    runs.never_early,
    runs.nothing_starts_in_a_pause,
    runs.priorities_hold,
    runs.job_ids_are_first_in_first_out,
    runs.queues_are_served,
)


def check(events: Iterable[AnyEvent], *, lease_ms: int, in_hand: int = 0, patience_ms: int = NEVER_MS) -> list[str]:
    """What is wrong, a sentence each, with the rule's name in front.

    ``in_hand``: how many jobs all workers together may have held back beyond those that they ran. ``patience_ms``: how
    long nothing of a queue may start although something is ready.
    """
    history = History(events, lease_ms, in_hand, patience_ms)
    return [f"{rule.__name__}: {sentence}" for rule in RULES for sentence in rule(history)]


__all__ = [
    "EVERYONE",
    "RULES",
    "AnyEvent",
    "Cancelled",
    "Cancelling",
    "Changed",
    "Counted",
    "Dispatched",
    "Disturbed",
    "Ended",
    "Finished",
    "History",
    "Paused",
    "Returned",
    "Rule",
    "Run",
    "Sent",
    "Started",
    "append",
    "check",
    "ending",
    "read",
    "starting",
]
