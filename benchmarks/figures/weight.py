"""How Heracles' cost grows with what a job carries: larger arguments, and large results beside small jobs."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from benchmarks.catalogue import System
from benchmarks.environments import Environment
from benchmarks.figures import Measurement
from benchmarks.figures.processing import CONCURRENCY, jobs_of, rate
from benchmarks.measure import READY_S, Bench, Size, quantile
from benchmarks.produce import WARM_UP

#: By the figure's suffix. With more bytes a job, fewer jobs make a run.
ARGUMENTS: Mapping[str, int] = {"1k": 1_000, "10k": 10_000, "100k": 100_000}
_SMALLEST = 1_000


def _payload(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    found = {}
    for suffix, argument_bytes in ARGUMENTS.items():
        count = max(size.least_jobs, round(jobs_of(system, size) * _SMALLEST / argument_bytes))
        with Bench(system, environment, size, argument_bytes=argument_bytes) as bench:
            done = bench.produce("bulk", count=count, seconds=READY_S)
            with bench.worker(concurrency=CONCURRENCY) as process:
                found[f"payload-process-{suffix}"] = rate(bench, done["dispatched"] + WARM_UP, [process])
        found[f"payload-dispatch-{suffix}"] = done["dispatched"] / done["elapsed_s"]
    return found


def _large_results(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    """Small jobs come one at a time while others return 1 MB each."""
    with Bench(system, environment, size) as bench, ThreadPoolExecutor(1) as pool:
        bench.new_board(size.samples)
        with bench.worker() as process:
            bench.make_ready(process)
            heavy = pool.submit(bench.produce, "spaced", "large", count=size.samples)
            bench.produce("spaced", "stamp", count=size.samples)
            heavy.result()
            bench.await_count(1 + 2 * size.samples, [process], timeout_s=READY_S)
        return {"large-results-latency": quantile([sample / 1e6 for sample in bench.board.samples()], 50)}


def _is_heracles(system: System) -> bool:
    return system.name == "heracles"


MEASUREMENTS = (
    Measurement("payload", _payload, _is_heracles),
    Measurement("large-results", _large_results, _is_heracles),
)
