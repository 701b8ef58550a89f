"""A worker that has nothing to do: what it costs, and how soon a job starts on it.

After its dispatch by another process, and after its scheduled time. Both ends read CLOCK_MONOTONIC, which is one for
all processes of a machine.
"""

import subprocess
import time
from collections.abc import Mapping

from benchmarks.catalogue import Ability, System
from benchmarks.environments import Environment
from benchmarks.figures import Measurement
from benchmarks.measure import Bench, quantile
from benchmarks.processes import FailedError, usage
from benchmarks.sizes import Size

#: Longer than the slowest system looks for due jobs.
_LATEST_S = 30.0
#: The job by which a worker shows that it is ready.
_READY = 1
#: What rounding to milliseconds may take off a scheduled time.
_ROUNDING_MS = 1.0


def _idle(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    """One worker process with concurrency 32 and one queue; first it idles, then jobs come one at a time."""
    with Bench(system, environment, size) as bench:
        bench.new_board(size.samples)
        with bench.worker() as process:
            bench.make_ready(process)
            found = _cost(bench, process)
            samples = _samples(bench, process, "spaced", size.samples)
    return {**found, "latency-p50": quantile(samples, 50), "latency-p99": quantile(samples, 99)}


def _cost(bench: Bench, process: subprocess.Popen[bytes]) -> dict[str, float]:
    trips = bench.redis.trips() if bench.server else 0
    before, began = usage(process), time.monotonic()
    time.sleep(bench.size.idle_s)
    after, took_s = usage(process), time.monotonic() - began
    found = {
        "idle-memory": after.resident_bytes / 2**20,
        "idle-cpu": 100 * (after.cpu_s - before.cpu_s) / took_s,
    }
    if bench.server:
        # Less the second look itself.
        found["idle-trips"] = max(0, bench.redis.trips() - trips - 1) / took_s
    return found


def _later(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    with Bench(system, environment, size) as bench:
        bench.new_board(size.later)
        with bench.worker() as process:
            bench.make_ready(process)
            samples = _samples(bench, process, "later", size.later)
    if min(samples) < -_ROUNDING_MS:
        raise FailedError(f"a job started {-min(samples):.1f} ms before its time")
    return {"later-p50": quantile(samples, 50), "later-p99": quantile(samples, 99)}


def _samples(bench: Bench, process: subprocess.Popen[bytes], how: str, count: int) -> list[float]:
    """Milliseconds from when each job was to start until it did."""
    bench.produce(how, "stamp", count=count)
    bench.await_count(count + _READY, [process], timeout_s=_LATEST_S)
    return [sample / 1e6 for sample in bench.board.samples()]


def _everybody(system: System) -> bool:
    return True


def _has_later(system: System) -> bool:
    return Ability.LATER in system.abilities


MEASUREMENTS = (
    Measurement("idle", _idle, _everybody, is_core=True),
    Measurement("later", _later, _has_later),
)
