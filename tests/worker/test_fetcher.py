"""Two calls of a worker under way at once."""

import asyncio
from functools import partial

import pytest

from heracles.model import JobStatus, ReportKind
from tests.waiting import eventually
from tests.worker.faults import FaultyTransport
from tests.worker.jobs import BOARD
from tests.worker.site import Site


async def _started(site: Site, *doors: str) -> list[str]:
    """Jobs that run until their doors are opened; their dispatch ids."""
    ids = [await site.dispatch("Gate", door) for door in doors]
    await site.noted(*(f"begin {door}" for door in doors))
    return ids


async def _both_under_way(faulty: FaultyTransport) -> None:
    """Two calls with the reports of those that wait at the doors first and second; their answers are withheld."""
    faulty.withheld = 2
    for count, door in enumerate(("first", "second"), 1):
        BOARD.doors[door].set()
        await eventually(partial(_has_reported, faulty, count))
    assert [len(reports) for reports in faulty.reported] == [1, 1]


def _has_reported(faulty: FaultyTransport, times: int) -> bool:
    return len(faulty.reported) == times


async def test_a_report_does_not_wait_for_the_answer_to_another_one(site: Site) -> None:
    faulty = site.faulty()
    await site.worker(on=faulty)
    first, second = await _started(site, "first", "second")
    faulty.withheld = 1
    for door, dispatch_id in (("first", first), ("second", second)):
        BOARD.doors[door].set()
        assert (await site.until(dispatch_id)).status is JobStatus.COMPLETED
    assert faulty.under_way >= 1
    faulty.answers.set()
    await eventually(lambda: not faulty.under_way)


async def test_two_calls_at_most_are_under_way(site: Site) -> None:
    faulty = site.faulty()
    await site.worker(on=faulty, concurrency=8)
    doors = [f"door {number}" for number in range(6)]
    ids = await _started(site, *doors)
    faulty.withheld = 2
    for count, door in enumerate(doors, 1):
        BOARD.doors[door].set()
        await site.noted(f"end {door}")
        await eventually(partial(_has_reported, faulty, min(count, 2)))
    assert faulty.under_way == 2
    faulty.answers.set()
    for dispatch_id in ids:
        assert (await site.until(dispatch_id)).status is JobStatus.COMPLETED
    assert faulty.most_under_way == 2


@pytest.mark.parametrize("lost", [1, 2])
async def test_two_calls_whose_answers_are_lost_are_recovered_once(site: Site, lost: int) -> None:
    faulty = site.faulty()
    await site.worker(on=faulty, concurrency=2)
    ids = await _started(site, "first", "second")
    ids += [await site.dispatch("Gate", f"later {number}") for number in range(2)]
    await _both_under_way(faulty)
    faulty.lost_answers = lost
    faulty.answers.set()
    # Both slots are used again, and nothing that was started has been forgotten.
    await site.noted("begin later 0", "begin later 1")
    BOARD.open_all()
    for dispatch_id in ids:
        record = await site.until(dispatch_id)
        assert (record.status, record.token) == (JobStatus.COMPLETED, 1)
    assert (faulty.recoveries, faulty.early_recoveries) == (1, 0)
    assert len(BOARD.notes) == 8


async def test_the_two_reports_of_a_job_that_outlived_its_time_keep_their_order(site: Site) -> None:
    faulty = site.faulty()
    worker = await site.worker(on=faulty)
    [other] = await _started(site, "other")
    faulty.withheld = 1
    failing = await site.dispatch("GateInThread", "door", True, timeout_ms=20, max_retries=0)
    assert (await site.until(failing)).status is JobStatus.FAILED
    BOARD.open_all()
    assert (await site.until(other)).status is JobStatus.COMPLETED
    [link] = worker._links
    await eventually(lambda: all(job.ended for job in link.held()))
    assert faulty.reported == [[ReportKind.FAILED], [ReportKind.COMPLETED]]
    faulty.answers.set()
    await eventually(lambda: not link.held())
    assert faulty.reported[2:] == [[ReportKind.RELEASED]]


async def test_a_worker_that_stops_waits_for_both_answers(site: Site) -> None:
    faulty = site.faulty()
    worker = await site.worker(on=faulty)
    ids = await _started(site, "first", "second")
    await _both_under_way(faulty)
    stopping = asyncio.create_task(worker.stop())
    for dispatch_id in ids:
        assert (await site.until(dispatch_id)).status is JobStatus.COMPLETED
    assert not stopping.done()
    faulty.answers.set()
    await stopping
    assert not faulty.under_way


async def test_a_worker_that_was_stopped_by_force_calls_no_more(site: Site) -> None:
    faulty = site.faulty()
    worker = await site.worker(on=faulty)
    dispatch_id = await site.dispatch("GateInThread", "door", True)
    await site.noted("begin door")
    [link] = worker._links
    await worker.stop(force=True)
    asked = faulty.exchanges
    BOARD.open_all()
    # Its thread was left behind; what it returns is nobody's any more.
    await site.noted("end door")
    await eventually(lambda: all(job.ended for job in link.held()))
    await asyncio.sleep(0)
    assert faulty.exchanges == asked
    assert (await site.record(dispatch_id)).status is JobStatus.RUNNING
