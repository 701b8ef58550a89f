"""What is measured, and how: one module a kind of figure; ``FIGURES`` has them all in the order of the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.catalogue import System
from benchmarks.environments import Environment
from benchmarks.measure import Size


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
    Figure("memory", "Redis memory of a queued job", "bytes", False),
    Figure("redis-cpu", "Redis CPU for 1000 jobs processed", "ms", False),
    Figure("redis-trips", "Redis round trips for 1000 jobs processed", "trips", False),
    Figure("redis-commands", "Redis commands for 1000 jobs processed, those in scripts included", "commands", False),
    Figure("idle-memory", "idle worker, resident memory", "MiB", False),
    Figure("idle-cpu", "idle worker, CPU", "%", False),
    Figure("idle-trips", "idle worker, Redis round trips", "trips/s", False),
    Figure("import-cpu", "CPU of importing it", "ms", False),
    Figure("help-cpu", "CPU of --help", "ms", False),
    *(
        figure
        for size in ("1k", "10k", "100k")
        for figure in (
            Figure(f"payload-dispatch-{size}", f"dispatch with the call for many, argument of {size}B", "jobs/s", True),
            Figure(f"payload-process-{size}", f"process no-op, one worker, argument of {size}B", "jobs/s", True),
        )
    ),
    Figure("large-results-latency", "dispatch to start beside jobs that return 1 MB, p50", "ms", False),
    Figure("overlap", "process no-op with NO_OVERLAP, 1000 job ids", "jobs/s", True),
    Figure("overlap-trips", "the same: Redis round trips for 1000 jobs", "trips", False),
    Figure("slow-job", "jobs of 10 ms one at a time: lost between two", "ms", False),
    Figure("backlog-dispatch", "dispatch p99, large store to empty store", "ratio", False),
    Figure("backlog-claim", "job to job at concurrency 1 p99, large store to empty store", "ratio", False),
    Figure("backlog-slowest", "slowest Redis command on the large store", "ms", False),
    Figure("cleanup-slowest", "slowest Redis command of its cleanup", "ms", False),
    Figure("queues-start", "worker with many queues: start to first job", "s", False),
    Figure("queues-latency", "worker with many queues: dispatch to start, p50", "ms", False),
    Figure("crowd-idle-trips", "many idle workers: Redis round trips of each", "trips/s", False),
    Figure("crowd-dispatch-trips", "many idle workers: Redis round trips for one dispatch", "trips", False),
)


@dataclass(frozen=True)
class Measurement:
    """One run, which yields one or more figures."""

    name: str
    run: Callable[[System, Environment, Size], Mapping[str, float]]
    takes_part: Callable[[System], bool]
    is_core: bool = False
    """Peers take part in it in a quick run too."""
    is_long: bool = False
    """Only with a size that asks for it, and once."""
