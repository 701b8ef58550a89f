"""A store that is away, refuses, answers late, or whose answers are lost."""

import asyncio
import traceback

import pytest

from heracles.errors import TransportError, TransportUnavailableError
from heracles.model import JobStatus
from heracles.worker import Worker
from tests.waiting import eventually
from tests.worker.jobs import BOARD
from tests.worker.site import QUEUE, Site


async def test_a_worker_outlives_an_outage_and_tells_of_it_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    faulty = site.faulty()
    await site.worker(on=faulty)
    dispatch_id = await site.dispatch("Gate")
    await site.noted("begin door")
    faulty.is_away = True
    BOARD.open_all()
    await site.noted("end door")
    await asyncio.sleep(0.5)
    faulty.is_away = False
    assert (await site.until(dispatch_id)).status is JobStatus.COMPLETED
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED
    await eventually(lambda: len(_about_store(caplog)) == 2)
    lost, back = _about_store(caplog)
    assert "is away" in lost
    assert "is back after" in back


def _about_store(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.getMessage() for record in caplog.records if record.name == "heracles.worker"]
    return [message for message in messages if "is away" in message or "refuses" in message or "is back" in message]


@pytest.mark.parametrize("name", ["Note", "FailTimes", "NoteInThread"])
async def test_lost_answers_lose_nothing_and_run_nothing_twice(site: Site, name: str) -> None:
    faulty = site.faulty()
    await site.worker(on=faulty, concurrency=3)
    faulty.lost_answers = 6
    ids = [await site.dispatch(name, 0) for _ in range(10)]
    for dispatch_id in ids:
        record = await site.until(dispatch_id)
        assert (record.status, record.token) == (JobStatus.COMPLETED, 1)
    assert len(BOARD.notes) == 10
    assert not faulty.lost_answers
    assert faulty.recovered


async def test_a_report_whose_answer_was_lost_frees_its_slot(site: Site) -> None:
    faulty = site.faulty()
    await site.worker(on=faulty, concurrency=1)
    await site.dispatch("Gate")
    await site.noted("begin door")
    faulty.lost_answers = 1
    BOARD.open_all()
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED
    assert (await site.counts()) == {JobStatus.COMPLETED: 2}


async def test_a_slow_store_slows_the_worker_and_no_more(site: Site) -> None:
    faulty = site.faulty()
    faulty.delay_s = 0.2
    await site.worker(on=faulty, concurrency=5)
    ids = [await site.dispatch("Note", i) for i in range(15)]
    for dispatch_id in ids:
        record = await site.until(dispatch_id)
        assert (record.status, record.token) == (JobStatus.COMPLETED, 1)


async def test_a_worker_that_holds_nothing_stops_at_once_during_an_outage(site: Site) -> None:
    faulty = site.faulty()
    worker = await site.worker(on=faulty)
    await site.run("Note", 1)
    faulty.is_away = True
    asked = faulty.exchanges
    # It may have been given a job by a call whose answer it never got.
    await eventually(lambda: faulty.exchanges > asked)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await worker.stop()
    assert loop.time() - begin < 5


async def test_a_stop_during_an_outage_waits_for_reports_no_longer_than_the_lease(brief_site: Site) -> None:
    faulty = brief_site.faulty(lease=600, poll_interval=50)
    worker = await brief_site.worker(on=faulty)
    await brief_site.dispatch("GateInThread", "door", True)
    await brief_site.noted("begin door")
    faulty.is_away = True
    BOARD.open_all()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await worker.stop()
    assert loop.time() - begin < 5


async def test_a_store_that_refuses_is_asked_again_without_haste(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    faulty = site.faulty()
    await site.worker(on=faulty)
    await site.run("Note", 1)
    faulty.refusal = "no permission"
    before = faulty.exchanges
    await asyncio.sleep(2.5)
    assert faulty.exchanges - before < 15
    faulty.refusal = None
    assert (await site.run("Note", 2)).status is JobStatus.COMPLETED
    assert "refuses" in _about_store(caplog)[0]


async def test_a_store_that_is_away_at_the_start_is_an_error_and_the_start_may_be_repeated(site: Site) -> None:
    faulty = site.faulty()
    faulty.is_away = True
    worker = Worker(id="w", transport=faulty)
    site.workers.append(worker)
    await worker.create_queue(name=QUEUE)
    with pytest.raises(TransportUnavailableError) as caught:
        await worker.start()
    assert "".join(traceback.format_exception(caught.value)).count("Traceback") == 1
    faulty.is_away = False
    faulty.refusal = "no permission"
    with pytest.raises(TransportError, match="no permission"):
        await worker.start()
    faulty.refusal = None
    await worker.start()
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED


async def test_run_waits_for_a_store_if_told_to(site: Site) -> None:
    faulty = site.faulty()
    faulty.is_away = True
    worker = Worker(id="w", transport=faulty)
    site.workers.append(worker)
    await worker.create_queue(name=QUEUE)
    running = asyncio.create_task(worker.run(wait_for_store=True))
    await asyncio.sleep(0.3)
    assert not running.done()
    faulty.is_away = False
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED
    await worker.stop()
    await running


async def test_run_that_waits_for_a_store_can_be_stopped(site: Site) -> None:
    faulty = site.faulty()
    faulty.is_away = True
    worker = Worker(id="w", transport=faulty)
    await worker.create_queue(name=QUEUE)
    running = asyncio.create_task(worker.run(wait_for_store=True))
    await asyncio.sleep(0.2)
    await worker.stop()
    async with asyncio.timeout(2):
        await running


async def test_a_report_that_the_store_refuses_holds_up_nothing_else(site: Site) -> None:
    faulty = site.faulty()
    await site.worker(on=faulty, concurrency=2)
    faulty.refused_result = b'"refused"'
    refused = await site.dispatch("Note", "refused")
    await eventually(lambda: faulty.refusals > 1)
    for i in range(10):
        assert (await site.run("Note", i)).status is JobStatus.COMPLETED
    assert (await site.record(refused)).status is JobStatus.RUNNING
    faulty.refused_result = None
    assert (await site.until(refused)).token == 1


async def test_a_report_that_is_refused_for_a_lease_is_let_go_of_and_its_job_runs_again(brief_site: Site) -> None:
    faulty = brief_site.faulty(lease=600, poll_interval=50)
    await brief_site.worker(on=faulty)
    faulty.refused_result = b'"refused"'
    refused = await brief_site.dispatch("Note", "refused")
    await eventually(lambda: BOARD.notes.count("refused") > 1)
    faulty.refused_result = None
    assert (await brief_site.until(refused)).status is JobStatus.COMPLETED


async def test_run_may_be_called_again_when_it_could_not_start(site: Site) -> None:
    faulty = site.faulty()
    faulty.is_away = True
    worker = Worker(id="w", transport=faulty)
    site.workers.append(worker)
    await worker.create_queue(name=QUEUE)
    with pytest.raises(TransportUnavailableError):
        await worker.run()
    faulty.is_away = False
    running = asyncio.create_task(worker.run())
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED
    await worker.stop()
    await running
