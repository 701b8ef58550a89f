"""NO_OVERLAP across workers."""

from typing import Any

from heracles.model import JobStatus
from tests.waiting import eventually
from tests.worker.jobs import BOARD
from tests.worker.site import Site


async def test_one_at_a_time_in_the_order_of_becoming_ready_whatever_the_priority(site: Site) -> None:
    await site.worker()
    await site.worker(on=site.make_transport())
    same: dict[str, Any] = {"job_id": "same", "no_overlap": True}
    for i, priority in enumerate((10, 50, 0)):
        await site.dispatch("Gate", f"door {i}", priority=priority, **same)
    await site.noted("begin door 0")
    for i in range(3):
        await site.noted(f"begin door {i}")
        assert [note for note in BOARD.notes if note.startswith("begin")] == [f"begin door {n}" for n in range(i + 1)]
        BOARD.doors[f"door {i}"].set()
    await site.noted("end door 2")


async def test_waiting_ones_take_no_slot(site: Site) -> None:
    await site.worker(concurrency=2)
    for _ in range(3):
        await site.dispatch("Gate", job_id="same", no_overlap=True)
    await site.noted("begin door")
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED


async def test_the_next_waits_for_the_overlap_delay_of_the_one_that_ended(site: Site) -> None:
    await site.worker()
    same: dict[str, Any] = {"job_id": "same", "no_overlap": True}
    first = await site.dispatch("Note", 1, overlap_delay_ms=300, **same)
    second = await site.dispatch("Note", 2, **same)
    ended = (await site.until(first)).completed_at_ms
    started = (await site.until(second)).started_at_ms
    assert ended is not None
    assert started is not None
    assert 300 <= started - ended < 400


async def test_a_wait_for_a_retry_frees_the_lock(site: Site) -> None:
    await site.worker(max_retries=1)
    same: dict[str, Any] = {"job_id": "same", "no_overlap": True}
    first = await site.dispatch("FailTimes", 1, retry_delay_ms=300, **same)
    second = await site.dispatch("Note", "second", **same)
    await site.until(second)
    assert (await site.record(first)).status is JobStatus.SCHEDULED_FOR_RETRY
    assert (await site.until(first)).status is JobStatus.COMPLETED


async def test_a_cancelled_thread_keeps_the_lock_until_it_ends(site: Site) -> None:
    await site.worker()
    same: dict[str, Any] = {"job_id": "same", "no_overlap": True}
    first = await site.dispatch("GateInThread", "door", True, **same)
    await site.noted("begin door")
    second = await site.dispatch("Note", "second", **same)
    assert await site.transport.cancel("jobs", [first]) == [True]
    await site.run("Note", "other")
    assert "second" not in BOARD.notes
    BOARD.doors["door"].set()
    await site.until(second)


async def test_a_job_stopped_by_force_keeps_its_place(site: Site) -> None:
    worker = await site.worker()
    same: dict[str, Any] = {"job_id": "same", "no_overlap": True}
    first = await site.dispatch("Gate", "door", **same)
    await site.noted("begin door")
    second = await site.dispatch("Note", "second", **same)
    await worker.stop(force=True)
    BOARD.open_all()
    await site.worker()
    await site.until(second)
    assert BOARD.notes == ["begin door", "cancelled door", "begin door", "end door", "second"]
    assert (await site.record(first)).status is JobStatus.COMPLETED


async def test_many_of_one_id_on_many_workers_never_overlap(site: Site) -> None:
    for _ in range(3):
        await site.worker(on=site.make_transport(), concurrency=5)
    ids = [await site.dispatch("Span", job_id=f"id {i % 3}", no_overlap=True) for i in range(30)]
    for dispatch_id in ids:
        await site.until(dispatch_id)
    open_ids: set[str] = set()
    for kind, job_id in BOARD.notes:
        assert (job_id in open_ids) is (kind == "end")
        (open_ids.discard if kind == "end" else open_ids.add)(job_id)
    await eventually(lambda: not open_ids)
