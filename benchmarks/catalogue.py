"""Which systems are measured, and what is known of each beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, Flag, auto


class Group(Enum):
    """With whom a system is compared."""

    HERACLES = "heracles"
    PEER = "peer"
    LIMIT = "limit"
    """What the machine can do without any queue's promises."""


class Ability(Flag):
    """What a system has, and so in which figures it takes part."""

    NONE = 0
    BULK = auto()
    """A call that dispatches many jobs."""
    ASYNC = auto()
    """Jobs that are coroutines, many at once in one process; or threads or greenlets instead."""
    THREADS = auto()
    """Jobs that are plain functions, in threads of one process."""
    LATER = auto()
    """Scheduled jobs, with nothing running but its worker."""


_ALL = Ability.BULK | Ability.ASYNC | Ability.THREADS | Ability.LATER


@dataclass(frozen=True, kw_only=True)
class System:
    """One column of the report."""

    name: str
    adapter: str
    """Its module is ``benchmarks.systems.NAME_adapter``."""
    environment: str | None = None
    """Whose requirements it needs: ``peers/requirements-NAME.txt``; None: those of Heracles itself."""
    package: str = ""
    """What ``import`` calls it."""
    group: Group = Group.PEER
    store: str = "redis"
    """``redis``, ``redis-aof`` (a log that is synced every second) or ``sqlite``."""
    abilities: Ability = Ability.NONE
    pace: int
    """About how many no-op jobs a second one worker process runs here: sizes the runs, and nothing else."""
    acknowledges: bool = True
    """Whether a job stays in the store until it has run."""
    promise: str = ""
    """What its documentation says of a worker that dies, in one sentence."""


SYSTEMS: Sequence[System] = (
    System(
        name="heracles", adapter="heracles", package="heracles", group=Group.HERACLES, abilities=_ALL, pace=80_000,
        promise="At least once: a dead worker's jobs run again elsewhere once its lease (30 s by default) has ended.",
    ),
    System(
        name="heracles-aof", adapter="heracles", group=Group.HERACLES, store="redis-aof", abilities=_ALL, pace=70_000,
        promise="As heracles, on a Redis that syncs its log every second.",
    ),
    System(
        name="heracles-sqlite", adapter="heracles", group=Group.HERACLES, store="sqlite", abilities=_ALL, pace=20_000,
        promise="As heracles; the file survives the machine too.",
    ),
    System(
        name="dramatiq", adapter="dramatiq", environment="dramatiq", package="dramatiq",
        abilities=Ability.ASYNC | Ability.THREADS | Ability.LATER, pace=1500,
        promise="At least once: what a worker without a heartbeat (60 s) had goes back to its queue.",
    ),
    System(
        name="taskiq", adapter="taskiq", environment="taskiq", package="taskiq",
        abilities=Ability.ASYNC | Ability.THREADS, pace=3000,
        promise="At least once with its stream broker: entries idle for 10 minutes are claimed by another worker.",
    ),
    System(
        name="saq", adapter="saq", environment="saq", package="saq",
        abilities=Ability.ASYNC | Ability.THREADS | Ability.LATER, pace=2500,
        promise="A sweep fails or retries jobs that ran past their time-out or lost their heartbeat.",
    ),
    System(
        name="arq", adapter="arq", environment="arq", package="arq",
        abilities=Ability.ASYNC | Ability.LATER, pace=1500,
        promise="At least once: a job runs again when its in-progress key expires, 10 s after its time-out.",
    ),
    System(
        name="streaq", adapter="streaq", environment="streaq", package="streaq", abilities=_ALL, pace=4000,
        promise="At least once: tasks idle for 60 s are queued again.",
    ),
    System(
        name="rq", adapter="rq", environment="rq", package="rq", abilities=Ability.BULK, pace=700,
        promise="A maintenance task moves abandoned jobs to the failed ones, or retries those that have retries.",
    ),
    System(
        name="celery", adapter="celery", environment="celery", package="celery",
        abilities=Ability.ASYNC | Ability.THREADS | Ability.LATER, pace=900,
        promise="At most once by default; with acks_late again after the visibility timeout (1 hour by default).",
    ),
    System(
        name="huey", adapter="huey", acknowledges=False, environment="huey", package="huey",
        abilities=Ability.ASYNC | Ability.THREADS | Ability.LATER, pace=2500,
        promise="At most once: a task is removed from the queue when a worker takes it.",
    ),
    System(
        name="huey-sqlite", adapter="huey", acknowledges=False, environment="huey", store="sqlite",
        abilities=Ability.ASYNC | Ability.THREADS | Ability.LATER, pace=1500,
        promise="As huey.",
    ),
    System(
        name="pydocket", adapter="pydocket", environment="pydocket", package="docket",
        abilities=Ability.BULK | Ability.ASYNC | Ability.LATER, pace=1000,
        promise="At least once: a task whose worker stopped renewing it is redelivered after 5 minutes by default.",
    ),
    System(
        name="bullmq", adapter="bullmq", environment="bullmq", package="bullmq",
        abilities=Ability.BULK | Ability.ASYNC | Ability.LATER, pace=1500,
        promise="At least once: a job whose lock (30 s) was not renewed is stalled and runs again, once by default.",
    ),
    System(
        name="bare", adapter="bare", group=Group.LIMIT, abilities=Ability.BULK, pace=60_000,
        promise="Nothing: entries that a dead worker had read stay with it.",
    ),
)  # fmt: skip

#: The distributions that have to be installed, by environment.
ENVIRONMENTS: Sequence[str] = tuple(dict.fromkeys(system.environment for system in SYSTEMS if system.environment))


def choose(names: Sequence[str]) -> list[System]:
    """The systems of those names, in the order of the catalogue; all if none is named.

    Raises:
        KeyError: there is no such system.
    """
    known = {system.name for system in SYSTEMS}
    if unknown := sorted(set(names) - known):
        raise KeyError(f"no such system: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [system for system in SYSTEMS if not names or system.name in names]
