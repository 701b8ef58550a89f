"""How Heracles' cost grows: with a large store, with queues, with workers, with jobs that exclude each other."""

import subprocess
import sys
import time
from collections.abc import Mapping

from benchmarks.catalogue import System
from benchmarks.environments import Environment
from benchmarks.figures import Measurement
from benchmarks.figures.processing import preload
from benchmarks.measure import READY_S, STALL_S, Bench, Size, quantile
from benchmarks.processes import ROOT, FailedError
from benchmarks.servers import SLOW_US

#: Enough for a p99 that is not the single worst.
_DISPATCHES = 1000
_CLAIMS = 5000
_CROWD_DISPATCHES = 50
_SETTLED_S = 2.0


def _overlap(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    with Bench(system, environment, size) as bench:
        preload(bench, size.overlap_jobs, "exclusive")
        trips = bench.redis.trips()
        with bench.worker(job="exclusive") as process:
            bench.await_count(size.overlap_jobs, [process], timeout_s=STALL_S)
            trips = bench.redis.trips() - trips
        (tally,) = bench.board.tallies()
    rate = (tally.count - 1) / (tally.last_ns - tally.first_ns) * 1e9
    return {"overlap": rate, "overlap-trips": trips * 1e3 / size.overlap_jobs}


def _backlog(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    """Dispatching and claiming with a million queued, against the same on an empty store."""
    with Bench(system, environment, size) as bench:
        empty = _dispatch_p99(bench), _claim_p99(bench)
    with Bench(system, environment, size) as bench:
        _fill(bench)
        bench.redis.command("SLOWLOG", "RESET")
        full = _dispatch_p99(bench), _claim_p99(bench)
        slowest = _slowest_ms(bench)
        bench.redis.command("SLOWLOG", "RESET")
        _clean_up(bench)
        return {
            "backlog-dispatch": full[0] / empty[0],
            "backlog-claim": full[1] / empty[1],
            "backlog-slowest": slowest,
            "cleanup-slowest": _slowest_ms(bench),
        }


def _fill(bench: Bench) -> None:
    tenth = bench.size.backlog // 10
    bench.new_board(0)
    preload(bench, tenth)
    with bench.worker() as process:
        bench.await_count(tenth, [process], timeout_s=STALL_S)
    bench.produce("later", count=tenth)
    preload(bench, bench.size.backlog, "interval")


def _dispatch_p99(bench: Bench) -> float:
    return float(bench.produce("spaced", "interval", count=_DISPATCHES)["call_ms"]["p99"])


def _claim_p99(bench: Bench) -> float:
    """Milliseconds from job to job on a worker with one slot: one report and one start."""
    preload(bench, _CLAIMS, "interval")
    bench.new_board(_CLAIMS * 2 + _DISPATCHES + bench.size.backlog)
    with bench.worker(concurrency=1, job="interval") as process:
        bench.await_count(_CLAIMS, [process], timeout_s=STALL_S)
    return quantile([sample / 1e6 for sample in bench.board.samples()[:_CLAIMS]], 99)


def _slowest_ms(bench: Bench) -> float:
    """Of the slow log; the log's threshold where there is none."""
    slow = bench.redis.slow_commands()
    return slow[0][0] if slow else SLOW_US / 1000


def _clean_up(bench: Bench) -> None:
    words = [sys.executable, "-m", "heracles", "cleanup", f"--url={bench.role.url}", "--retention=0", "--max=0"]
    words.append("--app=benchmarks.systems.heracles_adapter")
    subprocess.run(words, cwd=ROOT, env=bench.role.environment(), check=True, capture_output=True)


def _queues(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    with Bench(system, environment, size) as bench:
        bench.new_board(size.samples)
        bench.produce("one", count=1, queues=size.queues)
        began_ns = time.monotonic_ns()
        with bench.worker(queues=size.queues) as process:
            bench.await_count(1, [process], timeout_s=READY_S)
            started_s = (bench.board.tallies()[0].first_ns - began_ns) / 1e9
            bench.make_ready(process, queues=size.queues)
            bench.produce("spaced", "stamp", count=size.samples, queues=size.queues)
            bench.await_count(1 + size.queues + size.samples, [process], timeout_s=READY_S)
        latency = quantile([sample / 1e6 for sample in bench.board.samples()], 50)
    return {"queues-start": started_s, "queues-latency": latency}


def _crowd(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    with Bench(system, environment, size) as bench:
        bench.new_board(_CROWD_DISPATCHES)
        with bench.worker(workers=size.crowd, concurrency=1) as process:
            bench.make_ready(process)
            _await_crowd(bench)
            idle_trips_s = _trips_per_s(bench, size.idle_s)
            trips, began = bench.redis.trips(), time.monotonic()
            bench.produce("spaced", "stamp", count=_CROWD_DISPATCHES)
            bench.await_count(1 + _CROWD_DISPATCHES, [process], timeout_s=READY_S)
            trips = bench.redis.trips() - trips
            extra = trips - idle_trips_s * (time.monotonic() - began)
    return {"crowd-idle-trips": idle_trips_s / size.crowd, "crowd-dispatch-trips": max(0, extra) / _CROWD_DISPATCHES}


def _await_crowd(bench: Bench) -> None:
    """Until all have connected: for a while no connection has come."""
    deadline = time.monotonic() + STALL_S
    seen, since = 0, time.monotonic()
    while time.monotonic() - since < _SETTLED_S:
        if time.monotonic() > deadline:
            raise FailedError("workers go on connecting")
        time.sleep(0.2)
        connected = int(bench.redis.info("clients")["connected_clients"])
        if connected != seen:
            seen, since = connected, time.monotonic()


def _trips_per_s(bench: Bench, seconds: float) -> float:
    trips = bench.redis.trips()
    time.sleep(seconds)
    return (bench.redis.trips() - trips) / seconds


def _is_heracles(system: System) -> bool:
    return system.name == "heracles"


MEASUREMENTS = (
    Measurement("overlap", _overlap, _is_heracles),
    Measurement("queues", _queues, _is_heracles),
    Measurement("crowd", _crowd, _is_heracles),
    Measurement("backlog", _backlog, _is_heracles, is_long=True),
)
