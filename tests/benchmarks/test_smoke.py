"""The benchmark itself, at its smallest, on Heracles alone: that it runs, not how fast.

How often Redis is asked does not depend on the machine, so that is asserted.
"""

from dataclasses import replace

import pytest

from benchmarks import measure
from benchmarks.catalogue import System, choose
from benchmarks.environments import own
from benchmarks.figures import FIGURES, SERIES, key_of, scale
from benchmarks.measure import STALL_S, Bench
from benchmarks.plan import MEASUREMENTS, Plan
from benchmarks.results import Results
from benchmarks.servers import MissingServerError, program
from benchmarks.sizes import TINY
from benchmarks.survival import JOBS, survive


@pytest.fixture(scope="module", autouse=True)
def _redis_server() -> None:
    try:
        program()
    except MissingServerError as missing:
        pytest.skip(str(missing))


def _run(systems: list[str], only: list[str]) -> Results:
    told: list[str] = []
    results = Plan(choose(systems), "tiny", only, told.append).run()
    assert not results.failures, results.failures
    assert told
    return results


def _heracles() -> System:
    return choose(["heracles"])[0]


_SHORT = [measurement for measurement in MEASUREMENTS if not measurement.is_long]


@pytest.mark.parametrize("measurement", [measurement.name for measurement in _SHORT])
def test_a_measurement_yields_figures_that_the_report_knows(measurement: str) -> None:
    results = _run(["heracles"], [measurement])

    found = results.medians["heracles"]
    assert found
    assert {key_of(value) for value in found} <= {figure.key for figure in FIGURES} | {series.key for series in SERIES}


@pytest.mark.parametrize("system", ["heracles-sqlite", "heracles-aof", "bare"])
def test_other_stores_and_the_bare_consumer_run_too(system: str) -> None:
    results = _run([system], ["dispatch-together", "process-one"])

    assert results.medians[system].keys() >= {"dispatch-together", "process-one"}


def test_the_large_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "_DISPATCHES", 20)
    monkeypatch.setattr(scale, "_CLAIMS", 50)
    (measurement,) = (measurement for measurement in scale.MEASUREMENTS if measurement.is_long)

    found = measurement.run(_heracles(), own(), replace(TINY, backlog=500))

    assert {"backlog-dispatch", "backlog-claim", "backlog-slowest", "cleanup-slowest"} < found.keys()
    assert all(value >= 0 for value in found.values())


@pytest.mark.parametrize("name", ["heracles", "heracles-sqlite"])
def test_no_job_is_lost_with_its_worker(name: str) -> None:
    seen = survive(choose([name])[0], own(), TINY)

    assert not seen.note
    assert seen.lost == 0
    assert f"none of {JOBS} lost" in seen.words


def test_what_fails_is_reported_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PRODUCER_S", 0.0)

    results = Plan(choose(["heracles"]), "tiny", ["dispatch-one"], lambda line: None).run()

    (failure,) = results.failures
    assert (failure.system, failure.measurement) == ("heracles", "dispatch-one")
    assert "not done within" in failure.reason


# --------------------------------------------------------------------------------------------- how often Redis is asked


def test_jobs_share_round_trips_when_many_are_under_way() -> None:
    found = _run(["heracles"], ["process-one"]).medians["heracles"]

    # 32 at once, so that a trip carries about 16 on the average of full and half full ones.
    assert found["redis-trips"] < 250
    assert found["redis-commands"] < 15_000


def test_a_job_at_concurrency_1_takes_one_script_call() -> None:
    jobs = 300
    with Bench(_heracles(), own(), TINY) as bench:
        bench.produce("bulk", count=jobs)
        bench.redis.forget_calls()
        with bench.worker(concurrency=1) as process:
            bench.await_count(jobs, [process], timeout_s=STALL_S)
            calls = bench.redis.script_calls()

    # Each call reports a job and starts the next; two a job would be twice as many. Apart from those there are the
    # start of the worker and its heartbeats, more of them on a slow machine.
    assert calls < 1.5 * jobs


def test_dispatches_of_100_tasks_share_script_calls() -> None:
    jobs = 1000
    with Bench(_heracles(), own(), TINY) as bench:
        bench.produce("bulk", count=1)
        bench.redis.forget_calls()
        bench.produce("together", count=jobs)
        calls = bench.redis.script_calls()

    # While a call is under way the others gather for the next one, so at least every second one carries nearly all of
    # the 100.
    assert calls <= jobs / 10


def test_jobs_of_one_worker_share_script_calls() -> None:
    jobs = 1000
    with Bench(_heracles(), own(), TINY) as bench:
        bench.produce("bulk", count=jobs)
        bench.redis.forget_calls()
        with bench.worker(concurrency=32) as process:
            bench.await_count(jobs, [process], timeout_s=STALL_S)
            calls = bench.redis.script_calls()

    assert calls <= jobs / 4


def test_a_bulk_dispatch_shares_round_trips() -> None:
    with Bench(_heracles(), own(), TINY) as bench:
        bench.produce("bulk", count=1)
        before = bench.redis.trips()
        bench.produce("bulk", count=1000)
        trips = bench.redis.trips() - before

    # Four calls of 250 jobs, and what connecting takes.
    assert trips < 30
