"""What is measured, and how: one module a kind of figure.

``FIGURES`` has what is one value for each system, in the order of the report. ``SERIES`` has what is one value for each
point: a curve along something that grows, or the parts of a whole. A value of a series is kept as ``key@point``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.catalogue import System
from benchmarks.environments import Environment
from benchmarks.sizes import Size


@dataclass(frozen=True)
class Figure:
    """One row of the report."""

    key: str
    title: str
    unit: str
    is_more_better: bool


FIGURES: Sequence[Figure] = (
    Figure("dispatch-one", "dispatch one by one, awaited", "jobs/s", True),
    Figure("dispatch-together", "dispatch, 100 tasks at once", "jobs/s", True),
    Figure("dispatch-bulk", "dispatch with the call for many", "jobs/s", True),
    Figure("process-one", "process no-op, one worker process, concurrency 32", "jobs/s", True),
    Figure("process-two", "process no-op, two worker processes", "jobs/s", True),
    Figure("process-single", "process no-op, concurrency 1", "jobs/s", True),
    Figure("process-sleep", "process jobs of 10 ms, concurrency 100", "jobs/s", True),
    Figure("process-threads", "process no-op in threads, concurrency 32", "jobs/s", True),
    Figure("latency-p50", "dispatch to start, idle worker, p50", "ms", False),
    Figure("latency-p99", "dispatch to start, idle worker, p99", "ms", False),
    Figure("later-p50", "scheduled time to start, idle worker, p50", "ms", False),
    Figure("later-p99", "scheduled time to start, idle worker, p99", "ms", False),
    Figure("burst-first", "1000 dispatched at once to an idle worker: until the first starts", "ms", False),
    Figure("burst-all", "1000 dispatched at once to an idle worker: until all have started", "ms", False),
    Figure("memory", "Redis memory of a queued job", "bytes", False),
    Figure("dispatch-cpu", "Redis CPU for 1000 jobs dispatched", "ms", False),
    Figure("redis-cpu", "Redis CPU for 1000 jobs processed", "ms", False),
    Figure("redis-trips", "Redis round trips for 1000 jobs processed", "trips", False),
    Figure("redis-commands", "Redis commands for 1000 jobs processed, those in scripts included", "commands", False),
    Figure("queue-limit", "jobs that Redis can store and process of one queue, by its CPU", "jobs/s", True),
    Figure("idle-memory", "idle worker, resident memory", "MiB", False),
    Figure("idle-cpu", "idle worker, CPU", "%", False),
    Figure("idle-trips", "idle worker, Redis round trips", "trips/s", False),
    Figure("import-cpu", "CPU of importing it", "ms", False),
    Figure("help-cpu", "CPU of --help", "ms", False),
    Figure("slow-job", "jobs of 10 ms one at a time: lost between two", "ms", False),
    Figure("result-p50", "jobs of 100 ms: from the end of one until its dispatcher has the result, p50", "ms", False),
    Figure("result-p99", "jobs of 100 ms: from the end of one until its dispatcher has the result, p99", "ms", False),
    Figure("large-results-p50", "dispatch to start beside jobs that return 1 MB, p50", "ms", False),
    Figure("large-results-p99", "dispatch to start beside jobs that return 1 MB, p99", "ms", False),
    Figure("busy-rate", "no-op jobs beside one that keeps the event loop busy 80 % of the time", "jobs/s", True),
    Figure("busy-share", "the same, two queues: share of the one that got less, half being fair", "%", True),
    Figure("busy-again", "the same, lease of 1 s: starts of the busy job beyond its first", "starts", False),
    Figure("overlap", "process no-op with NO_OVERLAP, 1000 job ids", "jobs/s", True),
    Figure("overlap-trips", "the same: Redis round trips for 1000 jobs", "trips", False),
    Figure("backlog-dispatch-p50", "dispatch p50, large store to empty store", "ratio", False),
    Figure("backlog-dispatch", "dispatch p99, large store to empty store", "ratio", False),
    Figure("backlog-claim-p50", "job to job at concurrency 1 p50, large store to empty store", "ratio", False),
    Figure("backlog-claim", "job to job at concurrency 1 p99, large store to empty store", "ratio", False),
    Figure("backlog-slowest", "slowest Redis command on the large store; 5 if none is over 5 ms", "ms", False),
    Figure("backlog-slow", "Redis commands over 5 ms on the large store", "commands", False),
    Figure("cleanup-slowest", "slowest Redis command of its cleanup; 5 if none is over 5 ms", "ms", False),
    Figure("cleanup-slow", "Redis commands over 5 ms in its cleanup", "commands", False),
    Figure("queues-start", "worker with many queues: start to first job", "s", False),
    Figure("queues-latency", "worker with many queues: dispatch to start, p50", "ms", False),
    Figure("crowd-idle-trips", "many idle workers: Redis round trips of each", "trips/s", False),
    Figure("crowd-dispatch-trips", "many idle workers: Redis round trips for one dispatch", "trips", False),
    Figure("crowd-looks", "many idle workers: how many look for one dispatch", "workers", False),
    Figure("cluster-rate", "process no-op, many queues over three masters, two worker processes", "jobs/s", True),
    Figure("cluster-cpu", "Redis CPU for 1000 jobs dispatched and processed there, all masters together", "ms", False),
    Figure("cluster-most", "share of that CPU at the master that has most of it", "%", False),
)


@dataclass(frozen=True)
class Series:
    """One table of the report with a row a point, and a plot."""

    key: str
    title: str
    along: str
    """What the points are."""
    unit: str
    is_whole: bool = False
    """The points are parts, named by words, whose sum means something; else numbers along which the values go."""


SERIES: Sequence[Series] = (
    Series("growth-backlog-dispatch", "dispatch, p50", "jobs queued", "ms"),
    Series("growth-backlog-claim", "from job to job at concurrency 1, p50", "jobs queued", "ms"),
    Series("growth-queues-rate", "process no-op, one worker", "queues", "jobs/s"),
    Series("growth-queues-latency", "dispatch to start, p50", "queues", "ms"),
    Series("growth-workers-rate", "process no-op, one queue", "worker processes", "jobs/s"),
    Series("growth-workers-redis", "the same: how busy Redis' one thread was", "worker processes", "%"),
    Series("growth-workers-busy", "the same: how busy each worker process was", "worker processes", "%"),
    Series("growth-workers-redis-cpu", "the same: Redis CPU a job", "worker processes", "µs"),
    Series("growth-workers-cpu", "the same: CPU of the workers a job", "worker processes", "µs"),
    Series("growth-payload-dispatch", "dispatch with the call for many", "bytes of the argument", "jobs/s"),
    Series("growth-payload-process", "process no-op, one worker", "bytes of the argument", "jobs/s"),
    Series("cluster-capacity", "jobs that masters can store and process, by their CPU a job", "masters", "jobs/s"),
    Series("profile-producer", "time of one job in a producer, 100 tasks at once", "part", "µs", True),
    Series("profile-bulk", "time of one job in a producer, the call for many", "part", "µs", True),
    Series("profile-worker", "time of one job in a worker, concurrency 32", "part", "µs", True),
    Series("profile-redis-dispatch", "time of one job in Redis, dispatched", "part", "µs", True),
    Series("profile-redis-process", "time of one job in Redis, processed", "part", "µs", True),
    Series("calls-dispatch", "commands that one job takes, dispatched", "command", "commands", True),
    Series("calls-process", "commands that one job takes, processed", "command", "commands", True),
    Series("memory-keys", "memory of a queued job by key", "key", "bytes", True),
    Series("memory-record", "memory of a queued job's record", "field", "bytes", True),
    Series("memory-entry", "memory of a queued job's entry in the stream", "field", "bytes", True),
)  # fmt: skip


def key_of(value: str) -> str:
    """The figure or series to which a value belongs."""
    return value.partition("@")[0]


@dataclass(frozen=True)
class Measurement:
    """One run, which yields one or more figures."""

    name: str
    run: Callable[[System, Environment, Size], Mapping[str, float]]
    takes_part: Callable[[System], bool]
    is_core: bool = False
    """Peers take part in it in a quick run too, and in every repeat of a full one; in others once."""
    is_growth: bool = False
    """Along something that grows, or parts of a whole: not in a quick run, and once in a full one."""
    is_long: bool = False
    """Only with a size that asks for it, and once."""


def is_heracles(system: System) -> bool:
    """For what is measured of Heracles alone, on Redis without a log."""
    return system.name == "heracles"
