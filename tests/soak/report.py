"""What a soak has shown, in words."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from heracles.model import JobStatus
from tests.history import Dispatched, Finished, Sent, Started
from tests.history.events import Ended
from tests.soak.run import Result
from tests.soak.stories import stories

_MOST_OF_A_RULE = 2


def report(result: Result) -> str:
    """Counts, waits, and the first violations with their stories."""
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    plan, events = result.plan, result.events
    sent = len({event.dispatch_id for event in events if isinstance(event, Sent)})
    acknowledged = len({event.dispatch_id for event in events if isinstance(event, Dispatched)})
    starts = [event for event in events if isinstance(event, Started)]
    again = len(starts) - len({(start.dispatch_id, start.retries) for start in starts})
    ends = Counter(event.outcome for event in events if isinstance(event, Ended))
    statuses = Counter(event.status for event in events if isinstance(event, Finished))
    yield f"transport {plan.transport}, seed {plan.seed}, {plan.seconds:.0f} s, lease {plan.lease_ms} ms"
    yield f"dispatches: {sent} sent, {acknowledged} acknowledged, {sum(statuses.values())} found at the end"
    yield f"executions: {len(starts)}, {again} of them runs after a lost one; {_counted(ends)}"
    yield f"records: {_counted(Counter({status.value: statuses[status] for status in JobStatus}))}"
    yield f"faults: {_counted(result.faults)}"
    yield f"drained within {result.drain_s:.1f} s after the last dispatch"
    yield from _waits(result)
    for problem in result.problems:
        yield f"PROBLEM {problem}"
    rules = Counter(sentence.partition(":")[0] for sentence in result.violations)
    yield f"violations: {_counted(rules) if rules else 'none'}"
    yield from stories(_first_of_each(result.violations), events)


def _first_of_each(violations: Sequence[str]) -> Sequence[str]:
    """A few of each rule."""
    by_rule: dict[str, list[str]] = defaultdict(list)
    for violation in violations:
        by_rule[violation.partition(":")[0]].append(violation)
    return [one for line in by_rule.values() for one in line[:_MOST_OF_A_RULE]]


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common() if count) or "none"


def _waits(result: Result) -> Iterator[str]:
    """How long jobs waited from being ready to their first start, faults and all."""
    first: dict[str, int] = {}
    for event in result.events:
        if isinstance(event, Started):
            first[event.dispatch_id] = min(first.get(event.dispatch_id, event.stored_ms), event.stored_ms)
    waits = sorted(
        max(0, first[event.dispatch_id] - max(event.acknowledged_ms, event.scheduled_for_ms or 0))
        for event in result.events
        if isinstance(event, Dispatched) and event.dispatch_id in first and not event.no_overlap
    )
    if waits:
        middle, late = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
        yield f"waits until the first start: p50 {middle} ms, p99 {late} ms, longest {waits[-1]} ms"
