"""What Heracles has to reach: against the best peer of the same run, and as a guide in absolute figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.catalogue import Group, System
from benchmarks.figures import FIGURES, Figure

BEST = "best peer"
#: The best of those in whose store a job stays until it has run.
BEST_SAFE = "best peer that acknowledges"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One line of the list of goals."""

    figure: str
    system: str = "heracles"
    ratio: float | None = None
    """How many times better than ``against``; below 1: at least that share of it."""
    against: str = BEST
    """The name of a system, or one of the two above; a figure of the same system after a colon."""
    bound: float | None = None
    """At least, or where less is better, at most."""


GOALS: Sequence[Goal] = (
    Goal(figure="dispatch-one", ratio=1.2, against=BEST_SAFE, bound=11_000),
    Goal(figure="dispatch-together", ratio=7, bound=110_000),
    Goal(figure="dispatch-bulk", ratio=5, bound=150_000),
    Goal(figure="process-one", ratio=10, bound=60_000),
    Goal(figure="process-single", bound=9_000),
    Goal(figure="process-two", ratio=7, bound=70_000),
    Goal(figure="process-sleep", bound=9_000),
    Goal(figure="process-threads", ratio=1.5, against="dramatiq"),
    Goal(figure="latency-p50", bound=0.2),
    Goal(figure="latency-p99", bound=1.2),
    Goal(figure="later-p50", bound=3),
    Goal(figure="memory", bound=450),
    Goal(figure="redis-cpu", bound=10),
    Goal(figure="idle-memory", bound=32),
    Goal(figure="idle-cpu", bound=0.5),
    Goal(figure="idle-trips", bound=2),
    Goal(figure="import-cpu", bound=100),
    Goal(figure="help-cpu", bound=200),
    Goal(figure="process-one", system="heracles-sqlite", ratio=8, against="huey-sqlite"),
    Goal(figure="dispatch-together", system="heracles-sqlite", ratio=12, against="huey-sqlite"),
    Goal(figure="latency-p50", system="heracles-sqlite", bound=1),
    *(
        Goal(figure=figure, system="heracles-aof", ratio=0.85, against="heracles")
        for figure in (
            "dispatch-one",
            "dispatch-together",
            "dispatch-bulk",
            "process-one",
            "process-two",
            "process-single",
            "process-sleep",
            "process-threads",
        )
    ),
    Goal(figure="overlap", ratio=1 / 3, against=":process-one"),
    Goal(figure="backlog-dispatch", bound=1.3),
    Goal(figure="backlog-claim", bound=1.3),
    Goal(figure="backlog-slowest", bound=5),
    Goal(figure="cleanup-slowest", bound=5),
    Goal(figure="queues-start", bound=2),
    Goal(figure="queues-latency", bound=2),
    Goal(figure="crowd-looks", bound=3),
    Goal(figure="crowd-idle-trips", bound=2),
    Goal(figure="slow-job", bound=1),
    Goal(figure="result-p50", bound=1),
    Goal(figure="large-results-p50", bound=2),
    Goal(figure="busy-again", bound=0),
    Goal(figure="busy-share", bound=40),
)

#: Medians, by system and figure.
Medians = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Verdict:
    """A goal and what was measured. ``ratio`` None: there was nothing to compare with, or nothing is to be compared."""

    goal: Goal
    measured: float
    ratio: float | None
    against: str
    is_met: bool | None
    """None: what was measured is good enough, but the run had not what it is to be compared with."""


def figure_named(key: str) -> Figure:
    """The figure of that key."""
    return next(figure for figure in FIGURES if figure.key == key)


def best_peer(key: str, medians: Medians, systems: Sequence[System]) -> str | None:
    """The name of the peer among these systems that is best in a figure."""
    peers = [system.name for system in systems if system.group is Group.PEER]
    found = [name for name in peers if key in medians.get(name, {})]
    if not found:
        return None
    pick = max if figure_named(key).is_more_better else min
    return pick(found, key=lambda name: medians[name][key])


def judge(medians: Medians, systems: Sequence[System]) -> list[Verdict]:
    """A verdict for each goal whose figure was measured."""
    return [_judge(goal, medians, systems) for goal in GOALS if goal.figure in medians.get(goal.system, {})]


def _judge(goal: Goal, medians: Medians, systems: Sequence[System]) -> Verdict:
    measured = medians[goal.system][goal.figure]
    against, reference = _reference(goal, medians, systems)
    is_more_better = figure_named(goal.figure).is_more_better
    ratio = None
    if goal.ratio is not None and reference and measured:
        ratio = measured / reference if is_more_better else reference / measured
    met = [] if goal.ratio is None or ratio is None else [ratio >= goal.ratio]
    if goal.bound is not None:
        met.append(measured >= goal.bound if is_more_better else measured <= goal.bound)
    is_open = goal.ratio is not None and ratio is None and all(met)
    return Verdict(goal, measured, ratio, against, None if is_open else all(met))


def _reference(goal: Goal, medians: Medians, systems: Sequence[System]) -> tuple[str, float | None]:
    if goal.against.startswith(":"):
        other = goal.against.removeprefix(":")
        return figure_named(other).title, medians[goal.system].get(other)
    name: str | None = goal.against
    if goal.against in (BEST, BEST_SAFE):
        on_redis = [system for system in systems if system.store == "redis"]
        compared = [system for system in on_redis if system.acknowledges or goal.against == BEST]
        name = best_peer(goal.figure, medians, compared)
    return name or "no peer", medians.get(name or "", {}).get(goal.figure)
