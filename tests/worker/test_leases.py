"""Leases, reclaims and late reports, with leases of 600 ms."""

import asyncio
import time

import pytest

from heracles.model import CleanupRules, JobStatus, Session
from heracles.transport import Transport
from tests.waiting import eventually
from tests.worker.jobs import BOARD
from tests.worker.site import QUEUE, Site

DEAD = Session(worker_id="dead", consumer="dead-1")


async def test_a_job_outlives_many_leases_while_its_worker_lives(brief_site: Site) -> None:
    await brief_site.worker(concurrency=1)
    await brief_site.worker(concurrency=1)
    ids = [await brief_site.dispatch("Gate"), await brief_site.dispatch("GateInThread")]
    await asyncio.sleep(2.0)
    BOARD.open_all()
    for dispatch_id in ids:
        assert (await brief_site.until(dispatch_id)).token == 1
    assert BOARD.notes.count("begin door") == 2


async def test_what_a_dead_worker_had_runs_again_with_the_same_retries(brief_site: Site) -> None:
    dispatch_id = await brief_site.dispatch("Note", 1)
    await brief_site.transport.exchange(QUEUE, DEAD, [], 1)
    started = time.monotonic()
    await brief_site.worker()
    record = await brief_site.until(dispatch_id)
    assert (record.status, record.retries, record.token) == (JobStatus.COMPLETED, 0, 3)
    assert time.monotonic() - started > 0.4


async def test_a_blocked_event_loop_does_not_cost_the_lease(brief_site: Site) -> None:
    await brief_site.worker(concurrency=1)
    record = await brief_site.run("Block", 1.5)
    assert (record.status, record.token) == (JobStatus.COMPLETED, 1)
    assert BOARD.notes == ["begin", "end"]


async def test_a_worker_cut_off_stops_its_jobs_before_their_leases_end(brief_site: Site) -> None:
    lease_s = 2
    faulty = brief_site.faulty(lease=1000 * lease_s, poll_interval=50)
    await brief_site.worker(on=faulty)
    ids = [await brief_site.dispatch("Gate"), await brief_site.dispatch("GateInThread", "other")]
    await brief_site.noted("begin door", "begin other")
    faulty.is_away = True
    began = time.monotonic()
    await brief_site.noted("cancelled door", "cancelled other")
    assert time.monotonic() - began < lease_s
    BOARD.open_all()
    await brief_site.worker(id="free")
    for dispatch_id in ids:
        record = await brief_site.until(dispatch_id)
        assert (record.status, record.worker, record.retries) == (JobStatus.COMPLETED, "free", 0)
    faulty.is_away = False
    assert (await brief_site.run("Note", 1)).status is JobStatus.COMPLETED


async def test_a_late_report_changes_nothing(brief_site: Site) -> None:
    faulty = brief_site.faulty(lease=600, poll_interval=50)
    late = await brief_site.worker(on=faulty)
    dispatch_id = await brief_site.dispatch("GateInThread", "door", True)
    await brief_site.noted("begin door")
    faulty.is_away = True
    await brief_site.worker(id="other")
    await eventually(lambda: BOARD.notes.count("begin door") == 2)
    BOARD.open_all()
    assert (await brief_site.until(dispatch_id)).worker == "other"
    faulty.is_away = False
    await late.stop()
    record = await brief_site.record(dispatch_id)
    assert (record.status, record.worker) == (JobStatus.COMPLETED, "other")


async def test_a_worker_that_learns_that_a_job_is_lost_stops_it(brief_site: Site) -> None:
    worker = await brief_site.worker()
    dispatch_id = await brief_site.dispatch("Gate")
    await brief_site.noted("begin door")
    await brief_site.transport.cleanup(QUEUE, CleanupRules(everything=True))
    await brief_site.noted("cancelled door")
    await worker.stop()
    assert await brief_site.transport.find(QUEUE, dispatch_id) is None


async def test_a_job_that_keeps_taking_workers_down_fails(brief_site: Site) -> None:
    transport = brief_site.make_transport(lease=600, poll_interval=50, max_deliveries=2)
    poison = await brief_site.dispatch("Note", "poison")
    for _ in range(2):
        await eventually(lambda: _starts(transport))
    await brief_site.worker(on=transport)
    record = await brief_site.until(poison)
    assert record.status is JobStatus.FAILED
    assert "2" in (record.error or "")
    assert not BOARD.notes


async def _starts(transport: Transport) -> bool:
    answer = await transport.exchange(QUEUE, DEAD, [], 1)
    return bool(answer.started)


async def test_suspects_run_one_at_a_time_and_innocent_ones_beside_them(brief_site: Site) -> None:
    ids = [await brief_site.dispatch("Gate", f"door {i}") for i in range(2)]
    for _ in range(2):
        await eventually(lambda: _start_both(brief_site), deadline_s=20)
    await brief_site.worker(concurrency=4)
    await eventually(lambda: len(BOARD.notes) == 1, deadline_s=20)
    assert (await brief_site.run("Note", "innocent")).status is JobStatus.COMPLETED
    assert len([note for note in BOARD.notes if note.startswith("begin")]) == 1
    BOARD.open_all()
    for dispatch_id in ids:
        assert (await brief_site.until(dispatch_id)).status is JobStatus.COMPLETED


async def _start_both(site: Site) -> bool:
    return len((await site.transport.exchange(QUEUE, DEAD, [], 2)).started) == 2


@pytest.mark.parametrize("lease", [100])
async def test_the_shortest_lease_works(site: Site, lease: int) -> None:
    await site.worker(on=site.make_transport(lease=lease))
    dispatch_id = await site.dispatch("Gate")
    await site.noted("begin door")
    await asyncio.sleep(0.5)
    BOARD.open_all()
    # How often it was started says more of the machine: a tenth of a second is soon gone on a busy one.
    assert (await site.until(dispatch_id)).status is JobStatus.COMPLETED


async def test_what_an_answer_brings_too_late_is_not_begun(brief_site: Site) -> None:
    faulty = brief_site.faulty(lease=600, poll_interval=50)
    faulty.answer_delay_s = 0.4
    await brief_site.worker(on=faulty)
    dispatch_id = await brief_site.dispatch("Note", 1)
    await eventually(lambda: faulty.exchanges > 1)
    await asyncio.sleep(0.5)
    assert not BOARD.notes
    faulty.answer_delay_s = 0.0
    record = await brief_site.until(dispatch_id)
    assert (record.status, record.retries) == (JobStatus.COMPLETED, 0)
    assert BOARD.notes == [1]
