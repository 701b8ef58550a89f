"""Starting and stopping."""

import asyncio
import threading

import pytest

from heracles.errors import HeraclesError, OptionError
from heracles.model import JobStatus
from heracles.worker import Worker
from tests.waiting import eventually
from tests.worker.jobs import BOARD
from tests.worker.site import QUEUE, Site


@pytest.mark.parametrize("name", ["Gate", "GateInThread"])
async def test_a_stop_waits_for_what_runs_and_takes_nothing_new(
    site: Site, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "heracles")
    worker = await site.worker(concurrency=1)
    running, waiting = await site.dispatch(name), await site.dispatch("Note", 1)
    await site.noted("begin door")
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0.1)
    assert not stopping.done()
    await eventually(lambda: "worker worker-1 waits for the end of what it runs: 1" in caplog.messages)
    BOARD.open_all()
    await stopping
    assert (await site.record(running)).status is JobStatus.COMPLETED
    assert (await site.record(waiting)).status is JobStatus.PENDING
    assert not await site.transport.workers()


@pytest.mark.parametrize("name", ["Gate", "GateInThread"])
async def test_a_stop_by_force_gives_back_what_runs(site: Site, name: str) -> None:
    worker = await site.worker(max_retries=5)
    dispatch_id = await site.dispatch(name)
    await site.noted("begin door")
    await worker.stop(force=True)
    record = await site.record(dispatch_id)
    assert (record.status, record.retries) == (JobStatus.PENDING, 0)
    assert BOARD.notes == ["begin door", "cancelled door"]
    BOARD.open_all()
    await site.worker()
    record = await site.until(dispatch_id)
    assert (record.status, record.retries, record.worker) == (JobStatus.COMPLETED, 0, "worker-2")


async def test_force_may_follow_a_stop_that_takes_too_long(site: Site) -> None:
    worker = await site.worker()
    dispatch_id = await site.dispatch("Gate")
    await site.noted("begin door")
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0.05)
    await worker.stop(force=True)
    await stopping
    assert (await site.record(dispatch_id)).status is JobStatus.PENDING


async def test_a_shutdown_timeout_is_like_force(site: Site) -> None:
    worker = Worker(id="w", transport=site.transport, shutdown_timeout=100)
    site.workers.append(worker)
    await worker.create_queue(name=QUEUE)
    await worker.start()
    dispatch_id = await site.dispatch("Gate")
    await site.noted("begin door")
    await worker.stop()
    assert (await site.record(dispatch_id)).status is JobStatus.PENDING


async def test_a_task_that_swallows_one_cancellation_is_stopped_all_the_same(site: Site) -> None:
    worker = await site.worker()
    dispatch_id = await site.dispatch("Stubborn", 1)
    await site.noted("begin")
    await worker.stop(force=True)
    assert (await site.record(dispatch_id)).status is JobStatus.PENDING


async def test_a_thread_that_never_ends_does_not_hold_up_a_stop_by_force(site: Site) -> None:
    worker = await site.worker()
    dispatch_id = await site.dispatch("GateInThread", "door", True)
    await site.noted("begin door")
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await worker.stop(force=True)
    assert loop.time() - begin < 5
    # Its code may still run: until the lease ends nobody else gets it.
    assert (await site.record(dispatch_id)).status is JobStatus.RUNNING
    BOARD.open_all()
    await site.noted("end door")


async def test_what_a_job_returns_after_a_forced_stop_is_dropped_and_it_runs_again(site: Site) -> None:
    worker = await site.worker()
    dispatch_id = await site.dispatch("GateInThread", "door", True)
    await site.noted("begin door")
    stopping = asyncio.create_task(worker.stop(force=True))
    await asyncio.sleep(0.05)
    BOARD.doors["door"].set()
    await stopping
    record = await site.record(dispatch_id)
    assert (record.status, record.result, record.retries) == (JobStatus.PENDING, None, 0)


async def test_stop_is_safe_before_start_and_twice(site: Site) -> None:
    worker = Worker(transport=site.transport)
    await worker.stop()
    await worker.stop(force=True)
    await worker.create_queue(name=QUEUE)
    async with worker:
        await worker.start()
        assert (await site.run("Note", 1)).status is JobStatus.COMPLETED
    await worker.stop()
    with pytest.raises(HeraclesError, match="make a new one"):
        await worker.start()


async def test_a_block_left_by_an_error_stops_by_force(site: Site) -> None:
    worker = Worker(transport=site.transport)
    await worker.create_queue(name=QUEUE)
    with pytest.raises(KeyError):  # noqa: PT012 - what is tested is the end of the inner block
        async with worker:
            dispatch_id = await site.dispatch("Gate")
            await site.noted("begin door")
            raise KeyError
    assert (await site.record(dispatch_id)).status is JobStatus.PENDING


async def test_run_serves_until_stop(site: Site) -> None:
    worker = Worker(transport=site.transport)
    await worker.create_queue(name=QUEUE)
    running = asyncio.create_task(worker.run())
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED
    assert not running.done()
    await worker.stop()
    await running


async def test_a_cancelled_run_stops_the_worker(site: Site) -> None:
    worker = Worker(transport=site.transport)
    await worker.create_queue(name=QUEUE)
    running = asyncio.create_task(worker.run())
    dispatch_id = await site.dispatch("Gate")
    await site.noted("begin door")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await site.record(dispatch_id)).status is JobStatus.PENDING


async def test_a_start_that_is_given_up_has_begun_nothing(site: Site) -> None:
    faulty = site.faulty()
    faulty.holds_beats = True
    worker = Worker(transport=faulty)
    await worker.create_queue(name=QUEUE)
    dispatch_id = await site.dispatch("Gate")
    starting = asyncio.create_task(worker.start())
    await eventually(lambda: faulty.held_beats > 0)
    starting.cancel()
    await asyncio.wait([starting])
    faulty.holds_beats = False
    assert starting.cancelled()
    record = await site.record(dispatch_id)
    assert (record.status, record.token) == (JobStatus.PENDING, 0)


async def test_a_worker_may_start_before_it_has_a_queue(site: Site) -> None:
    worker = Worker(id="early", transport=site.transport)
    site.workers.append(worker)
    await worker.start()
    await worker.create_queue(name=QUEUE)
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED


async def test_a_queue_is_created_once(site: Site) -> None:
    worker = await site.worker()
    with pytest.raises(OptionError, match="served by worker"):
        await worker.create_queue(name=QUEUE)
    with pytest.raises(OptionError, match="queue name"):
        await worker.create_queue(name="no name")
    with pytest.raises(OptionError, match="concurrency"):
        await worker.create_queue(name="other", concurrency=0)


async def test_what_was_ready_wakes_another_worker_when_one_stops(site: Site) -> None:
    first = await site.worker(on=site.make_transport(), concurrency=1)
    running = await site.dispatch("Gate")
    await site.noted("begin door")
    await site.worker(on=site.make_transport(), concurrency=1)
    await first.stop(force=True)
    BOARD.open_all()
    record = await site.until(running)
    assert record.worker == "worker-2"


async def test_no_thread_is_left_behind(site: Site) -> None:
    before = set(threading.enumerate())
    worker = await site.worker()
    await site.run("NoteInThread", 1)
    await worker.stop()
    await eventually(
        lambda: not [left for left in set(threading.enumerate()) - before if left.name.startswith("heracles-")]
    )
