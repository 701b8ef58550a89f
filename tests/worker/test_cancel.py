"""Cancelling jobs that a worker has."""

import asyncio

import pytest

from heracles.model import JobStatus
from tests.waiting import eventually
from tests.worker.jobs import BOARD
from tests.worker.site import QUEUE, Site


@pytest.mark.parametrize("name", ["Gate", "GateInThread"])
async def test_a_running_job_is_cancelled_at_once_and_its_slot_goes_free(site: Site, name: str) -> None:
    await site.worker(concurrency=1)
    dispatch_id = await site.dispatch(name)
    await site.noted("begin door")
    assert await site.transport.cancel(QUEUE, [dispatch_id]) == [True]
    assert (await site.record(dispatch_id)).status is JobStatus.CANCELLED
    await site.noted("cancelled door")
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED
    assert (await site.record(dispatch_id)).status is JobStatus.CANCELLED


async def test_what_a_cancelled_thread_returns_is_dropped(site: Site) -> None:
    await site.worker(concurrency=1)
    dispatch_id = await site.dispatch("GateInThread", "door", True)
    await site.noted("begin door")
    await site.transport.cancel(QUEUE, [dispatch_id])
    other = await site.dispatch("Note", "other")
    await asyncio.sleep(0.1)
    assert "other" not in BOARD.notes
    BOARD.doors["door"].set()
    await site.until(other)
    record = await site.record(dispatch_id)
    assert (record.status, record.result) == (JobStatus.CANCELLED, None)


async def test_a_waiting_job_that_was_cancelled_never_starts(site: Site) -> None:
    await site.worker(concurrency=1)
    running = await site.dispatch("Gate")
    await site.noted("begin door")
    waiting = await site.dispatch("Note", "waiting")
    assert await site.transport.cancel(QUEUE, [waiting]) == [True]
    BOARD.open_all()
    await site.until(running)
    await site.run("Note", "last")
    assert "waiting" not in BOARD.notes


async def test_a_job_waiting_for_its_retry_is_cancelled(site: Site) -> None:
    await site.worker()
    dispatch_id = await site.dispatch("FailTimes", 9, retry_delay_ms=100)
    await site.until(dispatch_id, JobStatus.SCHEDULED_FOR_RETRY)
    assert await site.transport.cancel(QUEUE, [dispatch_id]) == [True]
    await asyncio.sleep(0.2)
    assert (await site.record(dispatch_id)).status is JobStatus.CANCELLED
    assert len(BOARD.notes) == 1


async def test_an_ended_job_is_not_cancelled(site: Site) -> None:
    await site.worker()
    dispatch_id = (await site.run("Note", 1)).dispatch_id
    assert await site.transport.cancel(QUEUE, [dispatch_id]) == [False]


@pytest.mark.parametrize("name", ["Note", "NoteInThread", "FailTimes"])
async def test_cancelling_races_the_end_and_both_agree(site: Site, name: str) -> None:
    await site.worker(concurrency=50, max_retries=0)
    ids = [await site.dispatch(name, 0) for _ in range(50)]
    answers = await site.transport.cancel(QUEUE, ids)
    for dispatch_id, answer in zip(ids, answers, strict=True):
        record = await site.until(dispatch_id)
        assert record.status is (JobStatus.CANCELLED if answer else JobStatus.COMPLETED)


async def test_cancelling_all_jobs_while_they_run(site: Site) -> None:
    await site.worker(concurrency=4)
    for i in range(10):
        await site.dispatch("Gate", f"door {i}")
    await eventually(lambda: len(BOARD.notes) == 4)
    assert await site.transport.clear(QUEUE, running=True) == 10
    assert await site.counts() == {JobStatus.CANCELLED: 10}
    await eventually(lambda: len(BOARD.notes) == 8)
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED


async def test_a_timed_out_job_that_still_runs_is_cancelled(site: Site) -> None:
    await site.worker(concurrency=1)
    dispatch_id = await site.dispatch("GateInThread", "door", True, timeout_ms=30)
    await site.until(dispatch_id, JobStatus.SCHEDULED_FOR_RETRY)
    assert await site.transport.cancel(QUEUE, [dispatch_id]) == [True]
    BOARD.open_all()
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED
    assert BOARD.notes.count("begin door") == 1
