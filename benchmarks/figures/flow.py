"""Whether batching costs anybody: a burst, results that are waited for, an event loop that is mostly busy."""

import subprocess
import time
from collections.abc import Mapping

from benchmarks.catalogue import Group, System
from benchmarks.environments import Environment
from benchmarks.figures import Measurement, is_heracles
from benchmarks.jobs import flag
from benchmarks.measure import READY_S, STALL_S, Bench
from benchmarks.processes import FailedError
from benchmarks.sizes import Size

#: More than the burst holds at a time would hide how soon slots are filled again.
_BURST_CONCURRENCY = 100
#: A burst is preceded by one job.
_WARM_UP = 1
#: Of the worker with a busy event loop: seconds of its lease, and of how many leases it has to live through.
_LEASE_S, _LEASES = 1, 2.5
_BUSY_CONCURRENCY, _BUSY_QUEUES = 8, 2


def _burst(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    with Bench(system, environment, size) as bench:
        bench.new_board(size.burst)
        with bench.worker(concurrency=_BURST_CONCURRENCY) as process:
            bench.make_ready(process)
            bench.produce("burst", "stamp", count=size.burst)
            bench.await_count(1 + _WARM_UP + size.burst, [process], timeout_s=STALL_S)
        samples = [sample / 1e6 for sample in bench.board.samples()]
    return {"burst-first": min(samples), "burst-all": max(samples)}


def _results(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    """Jobs of 100 ms, a dozen under way at any time, each awaited by its dispatcher."""
    with Bench(system, environment, size) as bench, bench.worker() as process:
        bench.make_ready(process)
        waited = bench.run("benchmarks.awaiting", str(size.samples), seconds=READY_S)
    return {f"result-{name}": waited[name] for name in ("p50", "p99")}


def _busy(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    """One job keeps the event loop busy four fifths of the time; two queues share what is left."""
    count = 2 * _BUSY_QUEUES * size.burst
    role = {"queues": _BUSY_QUEUES, "concurrency": _BUSY_CONCURRENCY, "recovery_s": _LEASE_S}
    with Bench(system, environment, size) as bench:
        bench.new_board(count)
        bench.produce("burst", "stamp", count=count, queues=_BUSY_QUEUES)
        # Of a higher priority than all others.
        bench.produce("one", "busy", count=1, queues=_BUSY_QUEUES)
        began = time.monotonic()
        with bench.worker(**role) as process:
            bench.await_count(_WARM_UP + count, [process], timeout_s=STALL_S)
            _outlast_leases(process, began)
            flag(bench.role.board).touch()
        (starts,) = bench.history("started").values()
        samples, (tally,) = bench.board.samples(), bench.board.tallies()
    return {
        "busy-rate": count / (tally.last_ns - tally.first_ns) * 1e9,
        "busy-share": _lesser_share(samples),
        "busy-again": len(starts) - 1,
    }


def _outlast_leases(process: subprocess.Popen[bytes], began: float) -> None:
    while time.monotonic() < began + _LEASES * _LEASE_S:
        if process.poll() is not None:
            raise FailedError("the worker has ended")
        time.sleep(0.01)


def _lesser_share(samples: list[int]) -> float:
    """Of the jobs that were in the first half to start: the percentage that the queue with fewer of them has."""
    half = len(samples) // 2
    order = sorted(range(len(samples)), key=samples.__getitem__)[:half]
    # The first half of the indexes is in one queue, the second in the other.
    first = sum(index < half for index in order)
    return 100 * min(first, half - first) / half


def _is_queue(system: System) -> bool:
    return system.group is not Group.LIMIT


MEASUREMENTS = (
    Measurement("burst", _burst, _is_queue),
    Measurement("results", _results, is_heracles),
    Measurement("busy", _busy, is_heracles),
)
