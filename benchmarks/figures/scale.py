"""How Heracles' cost grows: with a large store, with queues, with workers, with jobs that exclude each other."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from benchmarks.catalogue import System
from benchmarks.environments import Environment
from benchmarks.figures import Measurement, is_heracles
from benchmarks.figures.growth import claims_ms
from benchmarks.figures.processing import preload
from benchmarks.measure import READY_S, STALL_S, Bench, quantile
from benchmarks.processes import ROOT, FailedError
from benchmarks.servers import SLOW_US
from benchmarks.sizes import Size

#: Enough for a p99 that is not the single worst.
_DISPATCHES = 1000
_CLAIMS = 5000
_CROWD_DISPATCHES = 50
_SETTLED_S = 1.0


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
        empty = _measured(bench)
    with Bench(system, environment, size) as bench:
        bench.redis.forget_calls()
        _fill(bench)
        full = _measured(bench)
        slow = bench.redis.slow_commands()
        bench.redis.forget_calls()
        _clean_up(bench)
        slow_cleanup = bench.redis.slow_commands()
    ratios = {f"backlog-{key}": full[key] / empty[key] for key in full}
    return {
        **ratios,
        "backlog-slowest": _slowest_ms(slow),
        "backlog-slow": len(slow),
        "cleanup-slowest": _slowest_ms(slow_cleanup),
        "cleanup-slow": len(slow_cleanup),
        f"growth-backlog-dispatch@{size.backlog}": full["dispatch-p50"],
        f"growth-backlog-claim@{size.backlog}": full["claim-p50"],
    }


def _fill(bench: Bench) -> None:
    tenth = bench.size.backlog // 10
    bench.new_board(0)
    preload(bench, tenth)
    with bench.worker() as process:
        bench.await_count(tenth, [process], timeout_s=STALL_S)
    bench.produce("later", count=tenth)
    preload(bench, bench.size.backlog, "interval")


def _measured(bench: Bench) -> dict[str, float]:
    """Milliseconds; without p50 or p99 in its name: p99."""
    calls = bench.produce("spaced", "interval", count=_DISPATCHES)["call_ms"]
    claims = claims_ms(bench, _CLAIMS)
    return {
        "dispatch-p50": calls["p50"],
        "dispatch": calls["p99"],
        "claim-p50": quantile(claims, 50),
        "claim": quantile(claims, 99),
    }


def _slowest_ms(slow: Sequence[tuple[float, str]]) -> float:
    """Of the slow log; the log's threshold where there is none."""
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
            idle = _calls_per_s(bench, size.idle_s)
            before, began = _calls(bench), time.monotonic()
            bench.produce("spaced", "stamp", count=_CROWD_DISPATCHES)
            bench.await_count(1 + _CROWD_DISPATCHES, [process], timeout_s=READY_S)
            took_s = time.monotonic() - began
            trips, scripts = (
                max(0, after - first - by_itself * took_s) / _CROWD_DISPATCHES
                for after, first, by_itself in zip(_calls(bench), before, idle, strict=True)
            )
    # Of the scripts, one is the dispatch and one the report of whoever ran the job.
    return {"crowd-idle-trips": idle[0] / size.crowd, "crowd-dispatch-trips": trips, "crowd-looks": max(0, scripts - 2)}


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


def _calls(bench: Bench) -> tuple[int, int]:
    """Round trips and calls of scripts so far."""
    return bench.redis.trips(), bench.redis.script_calls()


def _calls_per_s(bench: Bench, seconds: float) -> tuple[float, float]:
    before = _calls(bench)
    time.sleep(seconds)
    trips, scripts = _calls(bench)
    return (trips - before[0]) / seconds, (scripts - before[1]) / seconds


MEASUREMENTS = (
    Measurement("overlap", _overlap, is_heracles),
    Measurement("queues", _queues, is_heracles),
    Measurement("crowd", _crowd, is_heracles),
    Measurement("backlog", _backlog, is_heracles, is_long=True),
)
