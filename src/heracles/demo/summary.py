"""What the demo found out, and how to go on."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import msgspec

from heracles.demo.jobs import Audited, Counted
from heracles.demo.sources import Sources
from heracles.model import JobInfo, JobStatus, Value

_GO_ON = """\
Three commands to go on with, once a module jobs.py here registers jobs of your own:
  heracles list                   the jobs it registers
  heracles work --id=worker-1     run them, from heracles.db here or from the Redis in HERACLES_URL
  heracles status                 live workers and each queue's counts"""


class Outcome(Value, frozen=True, kw_only=True):
    """How every job of the demo ended."""

    sources: Sources
    seconds: float
    plain: Sequence[JobInfo]
    unreliable: JobInfo
    later: JobInfo
    later_due: datetime
    audits: Sequence[JobInfo]

    @property
    def all(self) -> Sequence[JobInfo]:
        """All of them."""
        return (*self.plain, self.unreliable, self.later, *self.audits)

    @property
    def is_complete(self) -> bool:
        """Whether every job COMPLETED."""
        return all(info.status is JobStatus.COMPLETED for info in self.all)


def summary(outcome: Outcome) -> str:
    """The totals, or what went wrong."""
    if not outcome.is_complete:
        return _shortfall(outcome)
    return "\n".join((_totals(outcome), _special(outcome), "", _GO_ON))


def _totals(outcome: Outcome) -> str:
    counted = [msgspec.convert(info.result, Counted) for info in (*outcome.plain, outcome.unreliable, outcome.later)]
    jobs = len(outcome.all)
    retries = sum(info.retries for info in outcome.all)
    broken = sum(not one.is_valid for one in counted)
    rows = (
        ("jobs", f"{jobs:,} completed in {outcome.seconds:.1f} s: {jobs / outcome.seconds:,.0f} a second"),
        ("files", f"{len(counted):,}, of which {broken} are not valid Python, on purpose"),
        ("classes", f"{sum(one.classes for one in counted):,}"),
        ("functions", f"{sum(one.functions for one in counted):,}"),
        ("lines", f"{sum(one.lines for one in counted):,}"),
        ("retries", f"{retries:,}"),
        ("workers", ", ".join(f"{name} ran {times:,}" for name, times in _shares(outcome))),
    )
    return "\n".join(f"{name:<12}{value}" for name, value in rows)


def _shares(outcome: Outcome) -> Sequence[tuple[str, int]]:
    return sorted(Counter(info.worker or "?" for info in outcome.all).items())


def _special(outcome: Outcome) -> str:
    rows = (
        ("retried", f"one job failed {outcome.unreliable.retries} times and completed on its next run"),
        ("scheduled", f"one job started {_late_ms(outcome):,.0f} ms after its time"),
        ("no overlap", f"the second audit started {_apart_ms(outcome.audits):,.0f} ms after the first had ended"),
    )
    return "\n".join(f"{name:<12}{value}" for name, value in rows)


def _late_ms(outcome: Outcome) -> float:
    started = outcome.later.started_at
    return (started - outcome.later_due).total_seconds() * 1000 if started else 0.0


def _apart_ms(audits: Sequence[JobInfo]) -> float:
    first, second = sorted((msgspec.convert(info.result, Audited) for info in audits), key=lambda one: one.started)
    return (second.started - first.ended) * 1000


def _shortfall(outcome: Outcome) -> str:
    failed = [info for info in outcome.all if info.status is not JobStatus.COMPLETED]
    lines = [f"  {info.dispatch_id} {info.name} {info.status}: {info.error or 'no error'}" for info in failed[:10]]
    return "\n".join((f"{len(failed)} of {len(outcome.all)} jobs did not complete:", *lines))
