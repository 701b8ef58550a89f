"""How long records and entries stay: ``status_ttl``, ``completed_job_retention``, ``max_stream_size``; ``maintain``."""

import pytest

from heracles.model import JobStatus, ReportKind, Storing, Swept
from heracles.units import now_ms
from tests.conformance.conftest import MakeDriver
from tests.conformance.driver import LATER_MS, Driver, envelope, ids, report_on
from tests.waiting import eventually

TTL_S = 1


async def _finish_all(driver: Driver, count: int, **fields: object) -> list[str]:
    """Dispatch, start and complete that many, one after the other."""
    names = [f"d-{number:03}" for number in range(count)]
    for name in names:
        await driver.finish(await driver.put_running(name, **fields), result=b"1")
    return names


async def _with_entry(driver: Driver, names: list[str]) -> list[str]:
    return [name for name in names if (await driver.find(name)).envelope is not None]


async def _await_removal(driver: Driver, name: str) -> None:
    async def is_gone() -> bool:
        await driver.transport.maintain(driver.queue)
        return await driver.transport.find(driver.queue, name) is None

    await eventually(is_gone, interval_s=0.05)


# ---- records


@pytest.mark.parametrize("kind", [ReportKind.COMPLETED, ReportKind.FAILED])
async def test_a_record_stays_for_its_time_and_goes(make_driver: MakeDriver, kind: ReportKind) -> None:
    driver = make_driver(status_ttl=TTL_S)
    delivery = await driver.put_running("d-1", job_id="j-1")
    await driver.report(delivery, kind, result=b'"' + b"x" * 500 + b'"', error="Boom: x", traceback="t" * 500)
    record = await driver.find("d-1")
    await _await_removal(driver, "d-1")
    assert now_ms() >= (record.completed_at_ms or 0) + TTL_S * 1000 - 50
    assert await driver.transport.find(driver.queue, "j-1") is None
    assert await driver.counts() == {record.status.name: 1}, "totals stay"
    assert list(await driver.transport.page(driver.queue, None, 10)) == []


async def test_a_report_may_say_how_long_its_record_stays(driver: Driver) -> None:
    await driver.finish(await driver.put_running("d-1"), status_ttl_s=TTL_S)
    await driver.finish(await driver.put_running("d-2"))
    await _await_removal(driver, "d-1")
    assert await driver.status("d-2") is JobStatus.COMPLETED


async def test_a_dispatch_may_say_how_long_its_record_stays_when_cancelled(driver: Driver) -> None:
    await driver.put("d-1", status_ttl_s=TTL_S)
    await driver.put("d-2")
    await driver.cancel("d-1", "d-2")
    await _await_removal(driver, "d-1")
    assert await driver.status("d-2") is JobStatus.CANCELLED


async def test_a_dispatch_id_is_free_again_once_its_record_is_gone(make_driver: MakeDriver) -> None:
    driver = make_driver(status_ttl=TTL_S)
    await driver.finish(await driver.put_running("d-1", job_id="j-1"))
    await _await_removal(driver, "d-1")
    (answer,) = await driver.transport.enqueue(driver.queue, [envelope(dispatch_id="d-1", job_id="j-2")])
    assert (answer.storing, answer.job_id) == (Storing.STORED, "j-2")
    assert ids(await driver.start()) == ["d-1"]


async def test_unfinished_jobs_stay_however_old(make_driver: MakeDriver) -> None:
    driver = make_driver(status_ttl=TTL_S, completed_job_retention=1, max_stream_size=0)
    await driver.report(await driver.put_running("retry"), ReportKind.RETRY, delay_ms=LATER_MS)
    running = await driver.put_running("running")
    await driver.put("scheduled", delay_ms=LATER_MS)
    await driver.put("first", job_id="j", no_overlap=True, status_ttl_s=1)
    await driver.put("second", job_id="j", no_overlap=True)
    await driver.put("marker")
    await driver.cancel("marker")
    await _await_removal(driver, "marker")
    await driver.transport.maintain(driver.queue)
    await driver.finish(running)
    assert len(await _with_entry(driver, ["retry", "scheduled", "first", "second"])) == 4
    assert await driver.counts() == {"SCHEDULED_FOR_RETRY": 1, "COMPLETED": 1, "PENDING": 3, "CANCELLED": 1}
    assert ids(await driver.start()) == ["first"]


async def test_the_latest_dispatch_of_a_job_id_is_found_while_its_record_is_there(make_driver: MakeDriver) -> None:
    driver = make_driver(status_ttl=TTL_S)
    await driver.put("d-1", job_id="j", delay_ms=LATER_MS)
    await driver.finish(await driver.put_running("d-2", job_id="j"))
    assert (await driver.find("j")).dispatch_id == "d-2"
    await _await_removal(driver, "d-2")
    assert (await driver.find("j")).dispatch_id == "d-1"


# ---- entries


async def test_finished_entries_over_the_number_go_as_jobs_finish(make_driver: MakeDriver) -> None:
    driver = make_driver(max_stream_size=5)
    names = await _finish_all(driver, 20)
    assert await _with_entry(driver, names) == names[-5:]
    for name in names:
        record = await driver.find(name)
        assert (record.status, record.result, record.name) == (JobStatus.COMPLETED, b"1", "SendEmail")


async def test_the_number_holds_for_each_priority(make_driver: MakeDriver) -> None:
    driver = make_driver(max_stream_size=2)
    for number in range(12):
        await driver.finish(await driver.put_running(f"d-{number}", priority=number % 3))
    kept = await _with_entry(driver, [f"d-{number}" for number in range(12)])
    assert kept == [f"d-{number}" for number in range(6, 12)]


async def test_unfinished_entries_are_never_trimmed(make_driver: MakeDriver) -> None:
    driver = make_driver(max_stream_size=0)
    batch = [envelope() for _ in range(300)]
    await driver.put_all(batch)
    oldest, *later = await driver.start(200)
    await driver.exchange([report_on(delivery, ReportKind.COMPLETED) for delivery in later])
    await driver.transport.maintain(driver.queue)
    assert (await driver.find(oldest.envelope.dispatch_id)).envelope == oldest.envelope
    assert len(await driver.start(200)) == 100
    assert await driver.counts() == {"RUNNING": 101, "COMPLETED": 199}
    assert (await driver.find(later[7].envelope.dispatch_id)).envelope is None


@pytest.mark.parametrize("kind", [ReportKind.FAILED, None])
async def test_failed_and_cancelled_jobs_keep_their_arguments(make_driver: MakeDriver, kind: ReportKind | None) -> None:
    driver = make_driver(max_stream_size=0)
    for number in range(10):
        delivery = await driver.put_running(f"d-{number}", args=b'["a"]', kwargs=b'{"b":1}', priority=7, max_retries=2)
        if kind:
            await driver.report(delivery, kind, error="Boom: x")
        else:
            await driver.cancel(f"d-{number}")
            await driver.report(delivery, ReportKind.RELEASED)
    await driver.transport.maintain(driver.queue)
    for number in range(10):
        kept = (await driver.find(f"d-{number}")).envelope
        assert kept is not None
        assert (kept.args, kept.kwargs, kept.priority, kept.max_retries) == (b'["a"]', b'{"b":1}', 7, 2)


async def test_finished_entries_go_after_their_retention(make_driver: MakeDriver) -> None:
    driver = make_driver(completed_job_retention=1)
    names = await _finish_all(driver, 3)
    completed_at_ms = (await driver.find(names[0])).completed_at_ms or 0
    assert len(await _with_entry(driver, names)) == 3
    swept = Swept()

    async def are_gone() -> bool:
        nonlocal swept
        swept += await driver.transport.maintain(driver.queue)
        return not await _with_entry(driver, names)

    await eventually(are_gone, interval_s=0.05)
    assert now_ms() >= completed_at_ms + 950
    assert swept.entries == 3
    assert [await driver.status(name) for name in names] == [JobStatus.COMPLETED] * 3


async def test_without_cleanup_finished_entries_stay(make_driver: MakeDriver) -> None:
    driver = make_driver(cleanup_completed_jobs=False, max_stream_size=0, completed_job_retention=0)
    names = await _finish_all(driver, 5)
    swept = await driver.transport.maintain(driver.queue)
    assert swept.entries == 0
    assert await _with_entry(driver, names) == names


# ---- upkeep


async def test_upkeep_of_a_queue_in_order_removes_nothing(driver: Driver) -> None:
    await driver.report(await driver.put_running("retry"), ReportKind.RETRY, delay_ms=LATER_MS)
    await driver.put_running("running", job_id="j", no_overlap=True)
    await driver.put("waiting", job_id="j", no_overlap=True)
    await driver.finish(await driver.put_running("done"))
    await driver.put("ready", priority=2)
    await driver.put("scheduled", delay_ms=LATER_MS)
    before = await driver.transport.page(driver.queue, None, 100)
    cursor = await driver.cursor()
    for _ in range(3):
        assert await driver.transport.maintain(driver.queue) == Swept()
    assert await driver.transport.page(driver.queue, None, 100) == before
    assert await driver.changes(cursor) == []
    assert ids(await driver.start()) == ["ready"]


async def test_upkeep_of_an_unused_queue_does_nothing(driver: Driver) -> None:
    assert await driver.transport.maintain("unused") == Swept()
    assert list(await driver.transport.queues()) == []
