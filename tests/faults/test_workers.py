"""Worker processes that are told to end at a bad moment, share an id, block, or have a job that never ends."""

import asyncio
import signal
import time

import pytest

from heracles.model import JobStatus
from tests.faults.site import LONG_LEASE_MS, FaultSite
from tests.processes.site import QUEUE
from tests.waiting import eventually

#: Seconds within which a worker has ended, on a machine that is busy with other tests; ``tests/cli/test_signals.py``
#: holds it to what is promised.
SOON_S = 15.0
BLOCKED_S = 1.0


@pytest.fixture(params=["file_site", "site"])
def any_site(request: pytest.FixtureRequest) -> FaultSite:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, FaultSite)
    return found


async def test_a_worker_ends_while_a_job_waits_for_its_retry(any_site: FaultSite) -> None:
    worker = await any_site.serving()
    dispatch_id = await any_site.dispatch("FailOnce")
    waiting = await any_site.until(dispatch_id, JobStatus.SCHEDULED_FOR_RETRY)
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0
    assert time.monotonic() - began < SOON_S
    after = await any_site.record(dispatch_id)
    assert (after.status, after.retries, after.scheduled_for_ms) == (
        JobStatus.SCHEDULED_FOR_RETRY,
        waiting.retries,
        waiting.scheduled_for_ms,
    )


async def test_two_workers_under_one_id_take_nothing_from_each_other(any_site: FaultSite) -> None:
    first, second = [await any_site.serving(lease_ms=LONG_LEASE_MS) for _ in range(2)]
    held = [await any_site.dispatch("Wait", "door") for _ in range(2)]
    for dispatch_id in held:
        await any_site.begun(dispatch_id)
    assert len({any_site.runs(dispatch_id)[0].worker for dispatch_id in held}) == 2
    first.signal(signal.SIGTERM)
    # Longer than what it would take to lose the jobs of the one that lives on.
    await asyncio.sleep(1.5 * LONG_LEASE_MS / 1000)
    any_site.open("door")
    for dispatch_id in held:
        record = await any_site.until(dispatch_id)
        assert (record.status, record.token) == (JobStatus.COMPLETED, 1)
    assert first.end() == 0
    await any_site.serves()
    second.signal(signal.SIGTERM)
    assert second.end() == 0


async def test_an_event_loop_blocked_for_leases_keeps_its_job_and_is_named(any_site: FaultSite) -> None:
    blocked = await any_site.serving(lease_ms=LONG_LEASE_MS)
    dispatch_id = await any_site.dispatch("BlockLoop", "door")
    await any_site.begun(dispatch_id)
    await any_site.serving(id="worker-2", lease_ms=LONG_LEASE_MS)
    await asyncio.sleep(1.5 * LONG_LEASE_MS / 1000)
    line = blocked.await_line("has blocked the event loop for")
    assert f"BlockLoop {dispatch_id} has blocked the event loop for " in line
    assert float(line.partition("loop for ")[2].partition(" s at ")[0]) >= BLOCKED_S
    assert "tests/processes/app.py, line " in line
    assert "in execute" in line
    any_site.open("door")
    record = await any_site.until(dispatch_id)
    assert (record.status, record.worker, record.token) == (JobStatus.COMPLETED, "worker-1", 1)
    assert len(any_site.runs(dispatch_id)) == 1


async def test_a_deaf_thread_is_out_of_time_and_holds_up_neither_others_nor_a_second_signal(
    any_site: FaultSite,
) -> None:
    worker = await any_site.serving("--concurrency=2")
    dispatch_id = await any_site.dispatch("Deaf")
    record = await any_site.until(dispatch_id)
    assert record.status is JobStatus.FAILED
    assert "500 ms" in (record.error or "")
    # Its slot is taken as long as its code runs, and the other one serves.
    await any_site.serves()
    worker.signal(signal.SIGTERM)
    worker.await_line("told to stop")
    await asyncio.sleep(0.2)  # two signals at once are one to the worker
    worker.signal(signal.SIGTERM)
    began = time.monotonic()
    assert worker.end() == 0
    assert time.monotonic() - began < SOON_S
    assert (await any_site.record(dispatch_id)).status is JobStatus.FAILED


async def test_a_thread_that_outlives_its_lease_reports_too_late(any_site: FaultSite) -> None:
    frozen = await any_site.serving(lease_ms=LONG_LEASE_MS)
    dispatch_id = await any_site.dispatch("SayToken", "door")
    await any_site.begun(dispatch_id)
    frozen.signal(signal.SIGSTOP)
    # While this one is frozen in its turn, nobody is to take the job from it.
    other = await any_site.serving(id="worker-2", lease_ms=60_000)
    await any_site.begun(dispatch_id, 2)
    other.signal(signal.SIGSTOP)
    frozen.signal(signal.SIGCONT)
    frozen.await_line(f"SayToken {dispatch_id} is stopped")
    any_site.open("door")
    await eventually(lambda: any_site.ends(dispatch_id), what="the first run has ended", deadline_s=30)
    # Its thread has returned a result that the store has to refuse.
    assert (await any_site.record(dispatch_id)).result is None
    other.signal(signal.SIGCONT)
    record = await any_site.until(dispatch_id)
    assert record.status is JobStatus.COMPLETED
    tokens = [run.token for run in any_site.runs(dispatch_id)]
    assert tokens == sorted(set(tokens))
    # The latest run's: an outside system that remembers the highest token refuses the earlier one.
    assert int(record.result or b"0") == tokens[-1]


async def test_a_class_that_some_workers_do_not_know_runs_on_those_that_do(any_site: FaultSite) -> None:
    any_site.app = "tests.processes.app"
    old = await any_site.serving(id="old")
    ids = [await any_site.dispatch("Tick") for _ in range(5)]
    old.await_line("goes back to its queue")
    any_site.app = FaultSite.app
    await any_site.serving(id="new", lease_ms=LONG_LEASE_MS)
    old.signal(signal.SIGTERM)
    for dispatch_id in ids:
        record = await any_site.until(dispatch_id)
        assert (record.status, record.retries, record.worker) == (JobStatus.COMPLETED, 0, "new")
        assert len(any_site.runs(dispatch_id)) == 1


async def test_nobody_is_listed_under_the_id_of_a_worker_that_has_ended(any_site: FaultSite) -> None:
    worker = await any_site.serving()
    await eventually(lambda: _listed(any_site), what="the worker is listed")
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0
    assert not await _listed(any_site)


async def _listed(site: FaultSite) -> list[str]:
    return [worker.id for worker in await site.transport.workers() if QUEUE in worker.queues]
