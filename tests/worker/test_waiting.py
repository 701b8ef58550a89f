"""A worker of one queue waits for its jobs in the store, where that can be."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from heracles.model import JobStatus
from tests.stores import EVERY_REDIS
from tests.waiting import eventually
from tests.worker.faults import FaultyTransport
from tests.worker.jobs import BOARD
from tests.worker.site import HARDLY_EVER_MS, QUEUE, Site

pytestmark = pytest.mark.stores(*EVERY_REDIS)


@pytest.fixture
async def faulty(site: Site) -> AsyncIterator[FaultyTransport]:
    made = site.faulty(poll_interval=HARDLY_EVER_MS)
    yield made
    for task in made.abandoned:
        task.cancel()
    await asyncio.gather(*made.abandoned, return_exceptions=True)


async def _waits(faulty: FaultyTransport) -> None:
    await eventually(lambda: faulty.waits == 1 and not faulty.under_way)


async def test_an_idle_worker_makes_no_call_but_the_one_that_waits(site: Site, faulty: FaultyTransport) -> None:
    await site.worker(on=faulty)
    await _waits(faulty)
    asked = faulty.exchanges
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED
    await _waits(faulty)
    # One brought the job, one its report; the third is what waits now. A wait may have ended by itself meanwhile.
    assert faulty.exchanges - asked <= 3
    assert faulty.recoveries == 0


async def test_a_free_slot_is_used_beside_the_one_that_waits(site: Site, faulty: FaultyTransport) -> None:
    await site.worker(on=faulty, concurrency=2)
    await _waits(faulty)
    doors = [await site.dispatch("Gate", door) for door in ("first", "second")]
    await site.noted("begin first", "begin second")
    doors.append(await site.dispatch("Gate", "third"))
    BOARD.doors["first"].set()
    await site.noted("begin third")
    BOARD.open_all()
    for door in doors:
        assert (await site.until(door)).status is JobStatus.COMPLETED


async def test_what_becomes_due_ends_the_wait_that_has_all_slots(site: Site, faulty: FaultyTransport) -> None:
    await site.worker(on=faulty, concurrency=1)
    await _waits(faulty)
    later = await site.dispatch("Note", "later", delay_ms=1000)
    assert (await site.until(later)).status is JobStatus.COMPLETED
    # Unless it ended by itself in that moment.
    assert faulty.ended_waits <= 2


async def test_a_job_whose_answer_was_lost_is_recovered(site: Site, faulty: FaultyTransport) -> None:
    await site.worker(on=faulty, concurrency=1)
    await _waits(faulty)
    faulty.lost_answers = 1
    record = await site.run("Note", "lost")
    assert (record.status, record.token) == (JobStatus.COMPLETED, 1)
    assert len(faulty.recovered) == 1
    assert faulty.early_recoveries == 0


async def test_a_wait_that_goes_on_in_the_store_after_it_was_lost(site: Site, faulty: FaultyTransport) -> None:
    faulty.abandoned_waits = 1
    await site.worker(on=faulty, concurrency=1)
    # It was there first, so the store answers it, and nobody hears.
    await eventually(lambda: faulty.recoveries == 1 and faulty.waits == 1)
    record = await site.run("Note", "unheard")
    assert (record.status, record.token) == (JobStatus.COMPLETED, 1)
    assert BOARD.notes == ["unheard"]
    assert faulty.early_recoveries == 0


async def test_a_worker_that_stops_does_not_wait_for_its_end(site: Site, faulty: FaultyTransport) -> None:
    worker = await site.worker(on=faulty)
    await _waits(faulty)
    await worker.stop()
    assert faulty.ended_waits == 1
    assert (faulty.waits, faulty.under_way) == (0, 0)


async def test_a_second_queue_gets_its_slots(site: Site, faulty: FaultyTransport) -> None:
    worker = await site.worker(on=faulty, cap=1)
    await _waits(faulty)
    await worker.create_queue(name="second", concurrency=4)
    await eventually(lambda: not faulty.waits)
    for queue in ("second", QUEUE, "second"):
        dispatched = await site.dispatch("Note", queue, queue=queue)
        assert (await site.until(dispatched, queue=queue)).status is JobStatus.COMPLETED
    assert not faulty.waits


async def test_where_the_store_is_away_it_is_waited_again_when_it_is_back(site: Site, faulty: FaultyTransport) -> None:
    await site.worker(on=faulty)
    await _waits(faulty)
    faulty.is_away = True
    running = await site.dispatch("Note", 1)
    await site.noted(1)
    faulty.is_away = False
    assert (await site.until(running)).status is JobStatus.COMPLETED
    await _waits(faulty)
    assert (await site.run("Note", 2)).status is JobStatus.COMPLETED
