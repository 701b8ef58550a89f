"""How fast workers run what waits: jobs are dispatched first, then the workers start.

The time is that from the first job's start to the last one's, so that a worker's own start does not count. With two
workers it begins when both have begun.
"""

import contextlib
import subprocess
import time
from collections.abc import Mapping, Sequence

from benchmarks.catalogue import Ability, Group, System
from benchmarks.environments import Environment
from benchmarks.figures import Measurement
from benchmarks.jobs import SLEEP_S
from benchmarks.measure import READY_S, STALL_S, Bench
from benchmarks.sizes import Size

CONCURRENCY = 32
SLEEPERS = 100


def jobs_of(system: System, size: Size, *, share: float = 1.0) -> int:
    """How many jobs make a run of the size's length."""
    return max(size.least_jobs, round(system.pace * size.process_s * share))


def preload(bench: Bench, count: int, job: str = "noop") -> None:
    """Dispatch that many in the fastest way that the system has."""
    bench.produce("bulk" if Ability.BULK in bench.system.abilities else "together", job, count=count)


def rate(bench: Bench, count: int, processes: Sequence[subprocess.Popen[bytes]], opening: int = 1) -> float:
    """Jobs a second from when every worker process has begun until ``count`` have run.

    ``opening`` jobs are not in the interval: of one process, those that end together with the first.
    """
    since_ns, before = _await_beginning(bench, count, processes, opening)
    bench.await_count(count, processes, timeout_s=STALL_S)
    last_ns = max(tally.last_ns for tally in bench.board.tallies())
    return (bench.board.count() - before) / (last_ns - since_ns) * 1e9


def _await_beginning(
    bench: Bench, count: int, processes: Sequence[subprocess.Popen[bytes]], opening: int
) -> tuple[int, int]:
    """When each process had run a job, in monotonic nanoseconds, and how many jobs had run by then."""
    bench.await_count(1, processes, timeout_s=READY_S)
    if len(processes) == 1:
        return min(tally.first_ns for tally in bench.board.tallies()), opening
    while len(bench.board.tallies()) < len(processes) and bench.board.count() < count / 2:
        time.sleep(0.001)
    return time.monotonic_ns(), bench.board.count()


def _process_one(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    """Also what a queued job takes of Redis' memory, and a processed one of its time."""
    count = jobs_of(system, size)
    with Bench(system, environment, size) as bench:
        if bench.server is None:
            preload(bench, count)
            with bench.worker(concurrency=CONCURRENCY) as process:
                return {"process-one": rate(bench, count, [process])}
        # What a queue has but once, such as scripts and its latest events, comes with the first half.
        half = count // 2
        preload(bench, half)
        less, before_s = bench.redis.memory_bytes(), bench.redis.cpu_s()
        preload(bench, count - half)
        full, cpu_s = bench.redis.memory_bytes(), bench.redis.cpu_s()
        dispatched_s = cpu_s - before_s
        trips, commands = bench.redis.trips(), bench.redis.commands()
        with bench.worker(concurrency=CONCURRENCY) as process:
            jobs_s = rate(bench, count, [process])
            processed_s = bench.redis.cpu_s() - cpu_s
            trips, commands = bench.redis.trips() - trips, bench.redis.commands() - commands
    return {
        "process-one": jobs_s,
        "memory": (full - less) / (count - half),
        "dispatch-cpu": dispatched_s * 1e6 / (count - half),
        "redis-cpu": processed_s * 1e6 / count,
        "queue-limit": 1 / (dispatched_s / (count - half) + processed_s / count),
        "redis-trips": trips * 1e3 / count,
        "redis-commands": commands * 1e3 / count,
    }


def _process_two(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    count = jobs_of(system, size, share=1.5)
    with Bench(system, environment, size) as bench, contextlib.ExitStack() as stack:
        preload(bench, count)
        workers = [stack.enter_context(bench.worker(number=number, concurrency=CONCURRENCY)) for number in range(2)]
        return {"process-two": rate(bench, count, workers)}


def _process_single(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    count = jobs_of(system, size, share=0.2)
    with Bench(system, environment, size) as bench:
        preload(bench, count)
        with bench.worker(concurrency=1) as process:
            return {"process-single": rate(bench, count, [process])}


def _process_sleep(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    # At best each of the 100 slots runs 100 jobs a second.
    most = round(SLEEPERS / SLEEP_S * size.process_s)
    count = max(size.least_jobs, 5 * SLEEPERS, min(most, jobs_of(system, size)))
    with Bench(system, environment, size) as bench:
        preload(bench, count, "sleep")
        with bench.worker(concurrency=SLEEPERS, job="sleep") as process:
            return {"process-sleep": rate(bench, count, [process], opening=SLEEPERS)}


def _process_threads(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    count = jobs_of(system, size, share=0.3)
    with Bench(system, environment, size) as bench:
        preload(bench, count, "threaded")
        with bench.worker(concurrency=CONCURRENCY, job="threaded") as process:
            return {"process-threads": rate(bench, count, [process])}


def _slow_job(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    """What is lost between two jobs of 10 ms that run one at a time: a report must not wait for others."""
    count = max(20, round(size.process_s * 50))
    with Bench(system, environment, size) as bench:
        preload(bench, count, "sleep")
        with bench.worker(concurrency=1, job="sleep") as process:
            return {"slow-job": 1e3 / rate(bench, count, [process]) - SLEEP_S * 1e3}


def _everybody(system: System) -> bool:
    return True


def _is_queue(system: System) -> bool:
    return system.group is not Group.LIMIT


def _has_async(system: System) -> bool:
    return Ability.ASYNC in system.abilities


def _has_threads(system: System) -> bool:
    return Ability.THREADS in system.abilities


MEASUREMENTS = (
    Measurement("process-one", _process_one, _everybody, is_core=True),
    Measurement("process-two", _process_two, _everybody),
    Measurement("process-single", _process_single, _is_queue),
    Measurement("process-sleep", _process_sleep, _has_async),
    Measurement("process-threads", _process_threads, _has_threads),
    Measurement("slow-job", _slow_job, _is_queue),
)
