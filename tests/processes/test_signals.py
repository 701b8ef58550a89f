"""Worker processes that are told to end."""

import asyncio
import signal
import time

import pytest

from heracles.model import JobStatus
from tests.cli.process import Running
from tests.processes.site import ProcessSite
from tests.waiting import eventually

OWN_PROGRAM = """
import asyncio
from heracles.worker import Worker
from heracles.wiring import transport_from_url
import tests.processes.app

async def main():
    worker = Worker(id="worker-1", transport=make())
    await worker.create_queue(name="jobs")
    await worker.run()
    print("after run")

asyncio.run(main())
"""
BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
NAMES = ("Wait", "WaitInThread", "BlockLoop", "BlockInOneCall", "LeaveThreadBehind")


async def _ended(worker: Running, within_s: float = 30.0) -> int:
    """Its exit code."""
    await eventually(lambda: worker.process.poll() is not None, what=worker.log, deadline_s=within_s)
    return worker.end()


@pytest.mark.parametrize(("number", "name"), [*((signal.SIGTERM, name) for name in NAMES[:3]), (signal.SIGINT, "Wait")])
async def test_the_first_signal_takes_nothing_new_and_lets_what_runs_finish(
    site: ProcessSite, number: signal.Signals, name: str
) -> None:
    worker = site.worker()
    running, waiting = await site.dispatch(name, "door"), await site.dispatch("Wait")
    await site.begun(running)
    worker.signal(number)
    await asyncio.sleep(0.3)
    assert worker.process.poll() is None
    site.open("door")
    assert await _ended(worker) == 0
    assert (await site.record(running)).status is JobStatus.COMPLETED
    assert (await site.record(waiting)).status is JobStatus.PENDING
    assert not await site.transport.workers()


@pytest.mark.parametrize(
    ("number", "name"), [*((signal.SIGTERM, name) for name in NAMES), (signal.SIGINT, "BlockLoop")]
)
async def test_the_second_signal_gives_back_what_runs_and_ends_within_five_seconds(
    site: ProcessSite, number: signal.Signals, name: str
) -> None:
    worker = site.worker()
    dispatch_id = await site.dispatch(name, "door")
    await site.begun(dispatch_id)
    worker.signal(number)
    await asyncio.sleep(0.2)
    assert worker.process.poll() is None
    began = time.monotonic()
    worker.signal(number)
    assert await _ended(worker) == 0, worker.log
    assert time.monotonic() - began < 5
    record = await site.record(dispatch_id)
    assert (record.status, record.retries) == (JobStatus.PENDING, 0)
    assert not await site.transport.workers()


async def test_what_was_given_back_runs_elsewhere_at_once(site: ProcessSite) -> None:
    first = site.worker(lease_ms=60_000)
    dispatch_id = await site.dispatch("BlockLoop", "door")
    await site.begun(dispatch_id)
    site.worker(id="worker-2", lease_ms=60_000).await_line("pid")
    first.signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    first.signal(signal.SIGTERM)
    await _ended(first)
    site.open("door")
    record = await site.until(dispatch_id)
    assert (record.status, record.worker, record.retries) == (JobStatus.COMPLETED, "worker-2", 0)


async def test_the_shutdown_timeout_is_as_a_second_signal(site: ProcessSite) -> None:
    worker = site.worker("--shutdown-timeout=300")
    dispatch_id = await site.dispatch("BlockLoop", "door")
    await site.begun(dispatch_id)
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert await _ended(worker) == 0
    assert 0.3 < time.monotonic() - began < 5.3
    assert (await site.record(dispatch_id)).status is JobStatus.PENDING


async def test_an_idle_worker_ends_at_once(site: ProcessSite) -> None:
    worker = site.worker()
    await site.until(await site.dispatch("Wait"))
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert await _ended(worker) == 0
    assert time.monotonic() - began < 5


@BOTH
async def test_a_worker_told_to_end_in_its_start_up_ends(site: ProcessSite, number: signal.Signals) -> None:
    for delay_s in (0.25, 0.4, 0.6):
        worker = site.worker()
        await asyncio.sleep(delay_s)
        worker.signal(number)
        # Before the command has been read the signal does what it does to every Python program.
        assert await _ended(worker, 5) in (0, -number, 128 + number), worker.log


async def test_a_task_left_behind_that_exits_does_not_take_the_worker_down(site: ProcessSite) -> None:
    worker = site.worker()
    record = await site.until(await site.dispatch("LeaveTaskThatExits"))
    assert (record.status, record.result) == (JobStatus.COMPLETED, b'"survived"')
    assert (await site.until(await site.dispatch("Wait"))).status is JobStatus.COMPLETED
    assert worker.process.poll() is None
    assert "the worker goes on" in worker.log


async def test_a_signal_to_a_process_that_a_job_has_forked_is_not_the_workers(site: ProcessSite) -> None:
    worker = site.worker()
    record = await site.until(await site.dispatch("Fork"))
    assert (record.status, record.result) == (JobStatus.COMPLETED, b"-15")
    assert (await site.until(await site.dispatch("Wait"))).status is JobStatus.COMPLETED
    assert "told to stop" not in worker.log


@pytest.mark.parametrize("name", ["Wait", "BlockLoop"])
async def test_run_in_a_program_of_ones_own(site: ProcessSite, name: str) -> None:
    worker = site.program(OWN_PROGRAM)
    running = await site.dispatch(name, "door")
    await site.begun(running)
    worker.signal(signal.SIGTERM)
    await asyncio.sleep(0.2)
    assert worker.process.poll() is None
    worker.signal(signal.SIGTERM)
    assert await _ended(worker, 5) == 0, worker.log
    assert (await site.record(running)).status is JobStatus.PENDING


async def test_a_program_of_ones_own_goes_on_after_run(site: ProcessSite) -> None:
    worker = site.program(OWN_PROGRAM)
    running = await site.dispatch("Wait", "door")
    await site.begun(running)
    worker.signal(signal.SIGINT)
    site.open("door")
    assert await _ended(worker) == 0, worker.log
    assert worker.log.endswith("after run\n")
    assert (await site.record(running)).status is JobStatus.COMPLETED
