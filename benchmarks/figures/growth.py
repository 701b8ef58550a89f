"""How Heracles' cost grows with what waits, with queues and with workers; and over several masters of a cluster."""

import contextlib
import subprocess
import time
from collections.abc import Mapping, Sequence

from benchmarks.catalogue import System
from benchmarks.environments import Environment
from benchmarks.figures import Measurement, is_heracles
from benchmarks.figures.processing import CONCURRENCY, jobs_of, preload, rate
from benchmarks.measure import READY_S, STALL_S, Bench, quantile
from benchmarks.processes import usage
from benchmarks.servers import Server
from benchmarks.sizes import Size

_MASTERS = 3
#: Their slots happen to be spread evenly over three masters: 6, 5 and 7.
_CLUSTER_QUEUES = 18
_CLUSTER_WORKERS = 2
#: So that each queue has as many slots as make a batch.
_CLUSTER_CONCURRENCY = 16 * _CLUSTER_QUEUES
#: For how many masters to say what they carry.
_CAPACITY_OF = (1, 3, 6, 12)


def _backlog(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    found = {}
    with Bench(system, environment, size) as bench:
        before = 0
        for backlog in size.backlogs:
            if backlog > before:
                preload(bench, backlog - before, "interval")
            before = backlog
            calls = bench.produce("spaced", "interval", count=size.samples)["call_ms"]
            found[f"growth-backlog-dispatch@{backlog}"] = calls["p50"]
            found[f"growth-backlog-claim@{backlog}"] = quantile(claims_ms(bench, size.samples), 50)
    return found


def claims_ms(bench: Bench, count: int) -> list[float]:
    """From job to job on a worker with one slot, one report and one start; runs about as many as it dispatches."""
    preload(bench, count, "interval")
    bench.new_board(count)
    with bench.worker(concurrency=1, job="interval") as process:
        bench.await_count(count, [process], timeout_s=STALL_S)
    return [sample / 1e6 for sample in bench.board.samples()]


def _queues(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    found = {}
    for queues in size.queue_counts:
        with Bench(system, environment, size) as bench:
            bench.new_board(size.samples)
            count = jobs_of(system, size, share=0.2)
            # From as many tasks, each dispatch to the next queue.
            bench.produce("together", count=count, queues=queues)
            with bench.worker(queues=queues, concurrency=CONCURRENCY) as process:
                found[f"growth-queues-rate@{queues}"] = rate(bench, count, [process])
                bench.produce("spaced", "stamp", count=size.samples, queues=queues)
                bench.await_count(count + size.samples, [process], timeout_s=READY_S)
            samples = [sample / 1e6 for sample in bench.board.samples()]
            found[f"growth-queues-latency@{queues}"] = quantile(samples, 50)
    return found


def _workers(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    """One queue: whose processor is busy, that of Redis' one thread or those of the workers."""
    found = {}
    for workers in size.worker_counts:
        count = jobs_of(system, size, share=1.5)
        with Bench(system, environment, size) as bench, contextlib.ExitStack() as stack:
            preload(bench, count)
            processes = [stack.enter_context(bench.worker(number=number)) for number in range(workers)]
            for key, value in _observed(bench, count, processes).items():
                found[f"growth-workers-{key}@{workers}"] = value
    return found


def _observed(bench: Bench, count: int, processes: Sequence[subprocess.Popen[bytes]]) -> Mapping[str, float]:
    """Over the jobs after the first tenth, so that the start of workers does not count."""
    bench.await_count(count // 10, processes, timeout_s=READY_S)
    jobs, began = bench.board.count(), time.monotonic()
    redis_s, workers_s = bench.redis.cpu_s(), _cpu_s(processes)
    bench.await_count(count - count // 10, processes, timeout_s=STALL_S)
    took_s = time.monotonic() - began
    redis_s, workers_s = bench.redis.cpu_s() - redis_s, _cpu_s(processes) - workers_s
    jobs = bench.board.count() - jobs
    bench.await_count(count, processes, timeout_s=STALL_S)
    return {
        "rate": jobs / took_s,
        "redis": 100 * redis_s / took_s,
        "busy": 100 * workers_s / took_s / len(processes),
        "redis-cpu": 1e6 * redis_s / jobs,
        "cpu": 1e6 * workers_s / jobs,
    }


def _cpu_s(processes: Sequence[subprocess.Popen[bytes]]) -> float:
    return sum(usage(process).cpu_s for process in processes)


def _cluster(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    count = jobs_of(system, size)
    with Bench(system, environment, size, masters=_MASTERS) as bench, contextlib.ExitStack() as stack:
        bench.produce("one", count=_CLUSTER_QUEUES, queues=_CLUSTER_QUEUES)
        before = _cpu_each(bench.cluster)
        bench.produce("bulk", count=count, queues=_CLUSTER_QUEUES)
        role = {"queues": _CLUSTER_QUEUES, "concurrency": _CLUSTER_CONCURRENCY}
        workers = [stack.enter_context(bench.worker(number=number, **role)) for number in range(_CLUSTER_WORKERS)]
        jobs_s = rate(bench, count + _CLUSTER_QUEUES, workers)
        used = [after - first for after, first in zip(_cpu_each(bench.cluster), before, strict=True)]
    each_s = sum(used) / (count + _CLUSTER_QUEUES)
    return {
        "cluster-rate": jobs_s,
        "cluster-cpu": each_s * 1e6,
        "cluster-most": 100 * max(used) / sum(used),
        **{f"cluster-capacity@{masters}": masters / each_s for masters in _CAPACITY_OF},
    }


def _cpu_each(servers: Sequence[Server]) -> list[float]:
    return [server.cpu_s() for server in servers]


MEASUREMENTS = (
    Measurement("growth-backlog", _backlog, is_heracles, is_growth=True),
    Measurement("growth-queues", _queues, is_heracles, is_growth=True),
    Measurement("growth-workers", _workers, is_heracles, is_growth=True),
    Measurement("cluster", _cluster, is_heracles, is_growth=True),
)
