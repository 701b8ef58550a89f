"""Several queues in a worker, several workers on a queue."""

import asyncio

from heracles.model import JobStatus
from tests.waiting import eventually
from tests.worker.jobs import BOARD
from tests.worker.site import HARDLY_EVER_MS, QUEUE, Site


async def test_a_worker_is_capped_over_all_its_queues(site: Site) -> None:
    await site.worker("a", "b", cap=3, concurrency=2)
    for queue in "ab":
        for i in range(3):
            await site.dispatch("Gate", f"{queue}{i}", queue=queue)
    await eventually(lambda: len(BOARD.notes) == 3)
    running = [(await site.counts(queue)).get(JobStatus.RUNNING, 0) for queue in "ab"]
    assert sorted(running) == [1, 2]


async def test_a_full_queue_does_not_starve_another_under_a_cap(site: Site) -> None:
    for i in range(40):
        await site.dispatch("Note", f"a{i}", queue="a")
    for i in range(5):
        await site.dispatch("Note", f"b{i}", queue="b")
    await site.worker("a", "b", cap=1)
    await eventually(lambda: len(BOARD.notes) == 45)
    last_of_b = max(i for i, note in enumerate(BOARD.notes) if note.startswith("b"))
    assert last_of_b < 15
    assert [note for note in BOARD.notes if note.startswith("b")] == [f"b{i}" for i in range(5)]


async def test_workers_share_a_queue(site: Site) -> None:
    for _ in range(2):
        await site.worker(on=site.make_transport(), concurrency=2)
    ids = [await site.dispatch("Gate", f"door {i}") for i in range(4)]
    await eventually(lambda: len(BOARD.notes) == 4)
    assert {(await site.record(dispatch_id)).worker for dispatch_id in ids} == {"worker-1", "worker-2"}


async def test_a_busy_worker_keeps_no_job_from_a_free_one(site: Site) -> None:
    for _ in range(3):
        await site.worker(on=site.make_transport(poll_interval=HARDLY_EVER_MS), concurrency=1)
    for i in range(3):
        await site.until(await site.dispatch("Gate", f"door {i}"), JobStatus.RUNNING)


async def test_a_worker_whose_cap_is_reached_keeps_no_job_from_a_free_one(site: Site) -> None:
    for _ in range(2):
        await site.worker("a", "b", on=site.make_transport(poll_interval=HARDLY_EVER_MS), cap=1)
    await site.dispatch("Gate", "first", queue="a")
    await site.noted("begin first")
    for i in range(6):
        await site.until(await site.dispatch("Note", i, queue="b"), queue="b")


async def test_two_live_workers_under_one_id_take_nothing_from_each_other(site: Site) -> None:
    first = await site.worker(id="same", on=site.make_transport(), concurrency=1)
    await site.worker(id="same", on=site.make_transport(), concurrency=1)
    ids = [await site.dispatch("Gate", f"door {i}") for i in range(2)]
    await site.noted("begin door 0", "begin door 1")
    stopping = asyncio.create_task(first.stop())
    BOARD.open_all()
    await stopping
    for dispatch_id in ids:
        assert (await site.until(dispatch_id)).status is JobStatus.COMPLETED
    assert sorted(BOARD.notes) == ["begin door 0", "begin door 1", "end door 0", "end door 1"]


async def test_live_workers_are_listed_and_leave_the_list(site: Site) -> None:
    worker = await site.worker("a", "b")
    [info] = await site.transport.workers()
    assert (info.id, info.status, set(info.queues)) == ("worker-1", "running", {"a", "b"})
    await worker.create_queue(name="c")
    [info] = await site.transport.workers()
    assert set(info.queues) == {"a", "b", "c"}
    await site.dispatch("Gate", queue="a")
    await site.noted("begin door")
    stopping = asyncio.create_task(worker.stop())
    await eventually(lambda: _status_is(site, "stopping"))
    BOARD.open_all()
    await stopping
    assert not await site.transport.workers()


async def test_a_worker_of_many_queues_asks_for_each_but_a_few_times_at_its_start(site: Site) -> None:
    faulty = site.faulty(poll_interval=60_000)
    names = [f"queue-{number}" for number in range(60)]
    await site.worker(*names, on=faulty)
    dispatch_id = await site.dispatch("Note", 1, queue=names[-1])
    await site.until(dispatch_id, queue=names[-1])
    # When it begins, when it has begun to listen, and by a hint; not once for each queue that is added.
    assert faulty.exchanges <= 5 * len(names)


async def _status_is(site: Site, status: str) -> bool:
    return [info.status for info in await site.transport.workers()] == [status]


async def test_hundreds_at_once(site: Site) -> None:
    await site.worker(concurrency=300)
    ids = [await site.dispatch("Gate") for _ in range(300)]
    await eventually(lambda: len(BOARD.notes) == 300)
    BOARD.open_all()
    await eventually(lambda: _all_completed(site, len(ids)))


async def _all_completed(site: Site, count: int) -> bool:
    return await site.counts() == {JobStatus.COMPLETED: count}


async def test_an_idle_worker_asks_less_than_twice_a_second(site: Site) -> None:
    faulty = site.faulty()
    await site.worker(on=faulty)
    await site.run("Note", 1)
    await asyncio.sleep(0.3)
    before = faulty.exchanges
    await asyncio.sleep(2)
    assert faulty.exchanges - before <= 3
    assert QUEUE in await site.transport.queues()
