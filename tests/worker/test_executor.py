"""From a delivery to an outcome, without a store."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from heracles.job import find_job
from heracles.worker.executor import Executor
from heracles.worker.held import HeldJob, Stop
from heracles.worker.outcome import Completed, Failed, GivenBack, Outcome, Released
from tests.waiting import eventually
from tests.worker.deliveries import delivery, held_job
from tests.worker.jobs import BOARD

EVERYTHING = (
    "ValueError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "CancelledError", "MemoryError", "StopIteration",
    "StopAsyncIteration", "TimeoutError", "recursion",
)  # fmt: skip


class Bench:
    """An executor, and the outcomes of what it was given."""

    def __init__(self) -> None:
        self.executor = Executor()
        self.outcomes: dict[HeldJob, list[Outcome]] = {}

    def start(self, name: str, *args: Any, **plan: Any) -> HeldJob:
        job = held_job(delivery(name, json.dumps(args).encode()), **plan)
        self.outcomes[job] = []
        self.executor.start(job, find_job(name), 1 << 20, lambda job, outcome: self.outcomes[job].append(outcome))
        return job

    async def ended(self, job: HeldJob) -> Outcome:
        await eventually(lambda: job.ended)
        return self.outcomes[job][-1]

    async def run(self, name: str, *args: Any, **plan: Any) -> Outcome:
        return await self.ended(self.start(name, *args, **plan))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    BOARD.clear()
    made = Bench()
    yield made
    for door in BOARD.doors.values():
        door.set()
    await eventually(lambda: all(job.ended for job in made.outcomes))
    made.executor.close()


@pytest.mark.parametrize("name", ["Note", "NoteInThread"])
async def test_what_a_job_returns_is_its_result(bench: Bench, name: str) -> None:
    assert await bench.run(name, {"a": [1]}) == Completed(result=b'{"a":[1]}')


@pytest.mark.parametrize("name", ["Raise", "RaiseInThread"])
@pytest.mark.parametrize("what", EVERYTHING)
async def test_whatever_a_job_raises_is_its_own_failure(bench: Bench, name: str, what: str) -> None:
    outcome = await bench.run(name, what)
    assert isinstance(outcome, Failed)
    assert not outcome.for_good
    assert outcome.error.startswith("RecursionError: " if what == "recursion" else ("RuntimeError", what))
    assert "raise_it" in (outcome.traceback or "")
    assert await bench.run(name.replace("Raise", "Note"), 1) == Completed(result=b"1")


@pytest.mark.parametrize("name", ["Raise", "RaiseInThread"])
async def test_fail_is_for_good(bench: Bench, name: str) -> None:
    outcome = await bench.run(name, "Fail", "never")
    assert isinstance(outcome, Failed)
    assert (outcome.error, outcome.for_good) == ("Fail: never", True)


async def test_arguments_that_do_not_fit_are_for_good_and_named(bench: Bench) -> None:
    outcome = await bench.run("FailTimes", "three")
    assert isinstance(outcome, Failed)
    assert outcome.for_good
    assert "'times'" in outcome.error


async def test_what_the_constructor_raises_counts_as_raised_by_the_job(bench: Bench) -> None:
    outcome = await bench.run("RaiseInConstructor", True)
    assert isinstance(outcome, Failed)
    assert (outcome.error, outcome.for_good) == ("ValueError: cannot be built", False)


@pytest.mark.parametrize("what", ["object", "large", "nan"])
async def test_a_result_that_cannot_be_kept_fails_the_job_for_good(bench: Bench, what: str) -> None:
    outcome = await bench.run("Return", what)
    assert isinstance(outcome, Failed)
    assert outcome.for_good
    assert outcome.error.startswith("ResultError: ")


async def test_a_time_out_is_as_if_it_had_raised(bench: Bench) -> None:
    outcome = await bench.run("Gate", timeout_ms=20)
    assert isinstance(outcome, Failed)
    assert outcome.error == "TimeoutError: it ran longer than its timeout of 20 ms"
    assert not outcome.still_running
    assert "pass_door" in (outcome.traceback or "")
    assert BOARD.notes == ["begin door", "cancelled door"]


async def test_a_job_within_its_time_is_left_alone(bench: Bench) -> None:
    assert await bench.run("Note", 1, timeout_ms=10_000) == Completed(result=b"1")


async def test_a_thread_that_is_out_of_time_is_reported_at_once_and_again_when_it_has_ended(bench: Bench) -> None:
    job = bench.start("GateInThread", "door", True, timeout_ms=20)
    await eventually(lambda: bench.outcomes[job])
    [outcome] = bench.outcomes[job]
    assert isinstance(outcome, Failed)
    assert outcome.still_running
    assert "execute" in (outcome.traceback or "")
    assert not job.ended
    BOARD.doors["door"].set()
    assert await bench.ended(job) == Released()


async def test_a_thread_sees_that_it_is_out_of_time(bench: Bench) -> None:
    job = bench.start("GateInThread", timeout_ms=20)
    assert await bench.ended(job) == Released()
    assert BOARD.notes == ["begin door", "cancelled door"]


async def test_a_task_that_swallows_its_time_out_is_reported_all_the_same(bench: Bench) -> None:
    job = bench.start("Stubborn", timeout_ms=20)
    await eventually(lambda: bench.outcomes[job])
    [outcome] = bench.outcomes[job]
    assert isinstance(outcome, Failed)
    assert outcome.still_running
    BOARD.doors["door"].set()
    assert await bench.ended(job) == Released()


@pytest.mark.parametrize("name", ["Gate", "GateInThread"])
@pytest.mark.parametrize(
    ("why", "outcome"),
    [(Stop.CANCELLED, Released()), (Stop.RETURNED, GivenBack()), (Stop.LOST, GivenBack())],
)
async def test_a_job_is_stopped(bench: Bench, name: str, why: Stop, outcome: Outcome) -> None:
    job = bench.start(name)
    await eventually(lambda: BOARD.notes)
    bench.executor.stop(job, why)
    assert await bench.ended(job) == outcome
    assert BOARD.notes == ["begin door", "cancelled door"]


@pytest.mark.parametrize("why", [Stop.RETURNED, Stop.LOST])
async def test_what_a_job_returns_after_it_was_stopped_may_be_half_of_it(bench: Bench, why: Stop) -> None:
    job = bench.start("GateInThread", "door", True)
    await eventually(lambda: BOARD.notes)
    bench.executor.stop(job, why)
    BOARD.doors["door"].set()
    assert await bench.ended(job) == GivenBack()


async def test_a_thread_that_ends_because_its_lease_is_lost_may_have_done_half_of_it(bench: Bench) -> None:
    job = bench.start("GateInThread", "door")
    await eventually(lambda: "begin door" in BOARD.notes)
    # As the upkeep's thread does, before the event loop hears of it.
    job.is_lost = True
    assert job.flag is not None
    job.flag.cancelled = True
    assert await bench.ended(job) == GivenBack()


async def test_the_first_reason_to_stop_counts_and_the_second_cancels_again(bench: Bench) -> None:
    job = bench.start("Stubborn", 1)
    await eventually(lambda: BOARD.notes == ["begin"])
    bench.executor.stop(job, Stop.CANCELLED)
    await eventually(lambda: "swallowed" in BOARD.notes)
    bench.executor.stop(job, Stop.RETURNED)
    assert await bench.ended(job) == Released()


@pytest.mark.parametrize(("why", "outcome"), [(Stop.CANCELLED, Released()), (Stop.RETURNED, GivenBack(begun=False))])
async def test_a_job_stopped_before_its_first_step_never_begins(bench: Bench, why: Stop, outcome: Outcome) -> None:
    job = bench.start("Note", 1)
    bench.executor.stop(job, why)
    assert await bench.ended(job) == outcome
    assert not BOARD.notes


@pytest.mark.parametrize("name", ["Note", "NoteInThread"])
async def test_a_job_whose_lease_is_over_never_begins(bench: Bench, name: str) -> None:
    job = held_job(delivery(name, b"[1]"), lease_until=0.0)
    bench.outcomes[job] = []
    bench.executor.start(job, find_job(name), 1 << 20, lambda job, outcome: bench.outcomes[job].append(outcome))
    assert await bench.ended(job) == GivenBack(begun=False)
    assert not BOARD.notes


async def test_stopping_a_job_that_has_ended_does_nothing(bench: Bench) -> None:
    job = bench.start("Note", 1)
    await bench.ended(job)
    bench.executor.stop(job, Stop.CANCELLED)
    assert bench.outcomes[job] == [Completed(result=b"1")]


async def test_many_threads_at_once(bench: Bench) -> None:
    jobs = [bench.start("GateInThread", f"door {i}") for i in range(20)]
    await eventually(lambda: len(BOARD.notes) == 20)
    for i in range(20):
        BOARD.doors[f"door {i}"].set()
    outcomes = await asyncio.gather(*(bench.ended(job) for job in jobs))
    assert all(isinstance(outcome, Completed) for outcome in outcomes)
