"""How Heracles' cost grows with what a job carries: larger arguments, and large results beside small jobs."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from benchmarks.catalogue import System
from benchmarks.environments import Environment
from benchmarks.figures import Measurement, is_heracles
from benchmarks.figures.processing import CONCURRENCY, jobs_of, rate
from benchmarks.measure import READY_S, Bench, quantile
from benchmarks.produce import WARM_UP
from benchmarks.sizes import Size

#: With more bytes a job, fewer jobs make a run.
_USUAL_BYTES = 1_000
#: Results of 1 MB each stay in the store for a day.
_MOST_LARGE = 200


def _payload(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    found = {}
    for argument_bytes in size.payloads:
        count = round(jobs_of(system, size, share=0.5) * min(1, _USUAL_BYTES / argument_bytes))
        with Bench(system, environment, size, argument_bytes=argument_bytes) as bench:
            done = bench.produce("bulk", count=max(size.least_jobs, count), seconds=READY_S)
            with bench.worker(concurrency=CONCURRENCY) as process:
                found[f"growth-payload-process@{argument_bytes}"] = rate(bench, done["dispatched"] + WARM_UP, [process])
        found[f"growth-payload-dispatch@{argument_bytes}"] = done["dispatched"] / done["elapsed_s"]
    return found


def _large_results(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    """Small jobs come one at a time while others return 1 MB each."""
    count = min(size.samples, _MOST_LARGE)
    with Bench(system, environment, size) as bench, ThreadPoolExecutor(1) as pool:
        bench.new_board(count)
        with bench.worker() as process:
            bench.make_ready(process)
            heavy = pool.submit(bench.produce, "spaced", "large", count=count)
            bench.produce("spaced", "stamp", count=count)
            heavy.result()
            bench.await_count(1 + 2 * count, [process], timeout_s=READY_S)
        samples = [sample / 1e6 for sample in bench.board.samples()]
    return {"large-results-p50": quantile(samples, 50), "large-results-p99": quantile(samples, 99)}


MEASUREMENTS = (
    Measurement("payload", _payload, is_heracles, is_growth=True),
    Measurement("large-results", _large_results, is_heracles),
)
