"""``find``, ``page``, ``overview``, ``queues`` and ``workers``: what can be read, and in which order."""

import pytest

from heracles.model import JobStatus, Overview, ReportKind
from heracles.transport import Transport
from heracles.units import now_ms
from tests.conformance.conftest import MakeDriver
from tests.conformance.driver import LATER_MS, Driver, envelope, next_ms, report_on, session
from tests.waiting import eventually


async def test_find_knows_either_id(driver: Driver) -> None:
    made = await driver.put("d-1", job_id="j-1")
    for name in ("d-1", "j-1"):
        record = await driver.find(name)
        assert (record.job_id, record.dispatch_id, record.envelope) == ("j-1", "d-1", made)


async def test_find_knows_generated_ids(driver: Driver) -> None:
    made = await driver.put()
    assert (await driver.find(made.job_id)) == (await driver.find(made.dispatch_id))


async def test_find_takes_the_latest_dispatch_of_a_job_id(driver: Driver) -> None:
    for name in ("d-3", "d-1", "d-2"):
        await driver.put(name, job_id="j-1")
    assert (await driver.find("j-1")).dispatch_id == "d-2"
    for delivery in await driver.start():
        await driver.finish(delivery)
    assert (await driver.find("j-1")).dispatch_id == "d-2"


async def test_find_takes_the_latest_also_when_it_has_ended_and_others_have_not(driver: Driver) -> None:
    await driver.put("d-1", job_id="j-1", delay_ms=LATER_MS)
    await driver.finish(await driver.put_running("d-2", job_id="j-1"))
    assert (await driver.find("j-1")).dispatch_id == "d-2"
    assert await driver.cancel("j-1") == [True]
    assert await driver.status("d-1") is JobStatus.CANCELLED


async def test_find_of_what_there_is_not_is_none(driver: Driver) -> None:
    assert await driver.transport.find(driver.queue, "d-9") is None
    await driver.put("d-1")
    assert await driver.transport.find(driver.queue, "d-9") is None
    assert await driver.transport.find("others", "d-1") is None


async def test_a_record_keeps_its_times_by_the_stores_clock(driver: Driver) -> None:
    before_ms = now_ms()
    delivery = await driver.put_running("d-1")
    await driver.finish(delivery)
    record = await driver.find("d-1")
    times = [record.created_at_ms, record.started_at_ms, record.completed_at_ms]
    assert times == sorted(time or 0 for time in times)
    assert record.updated_at_ms == record.completed_at_ms
    assert before_ms - 1000 <= record.created_at_ms <= now_ms() + 1000


async def test_a_completed_record_has_its_envelope_while_the_entry_is_there(driver: Driver) -> None:
    delivery = await driver.put_running("d-1", priority=4)
    await driver.finish(delivery)
    record = await driver.find("d-1")
    assert (record.envelope, record.priority) == (delivery.envelope, 4)


# ---- page


async def _dispatch(driver: Driver, count: int) -> list[str]:
    names = [f"d-{number:04}" for number in range(count)]
    for name in names:
        await driver.put(name)
    return names


async def test_page_is_newest_first(driver: Driver) -> None:
    names = await _dispatch(driver, 8)
    page = await driver.transport.page(driver.queue, None, 100)
    assert [record.dispatch_id for record in page] == names[::-1]


async def test_page_gives_the_newest_up_to_its_limit(driver: Driver) -> None:
    names = await _dispatch(driver, 8)
    page = await driver.transport.page(driver.queue, None, 3)
    assert [record.dispatch_id for record in page] == names[:4:-1]


async def test_page_orders_by_creation_whatever_happened_since(driver: Driver) -> None:
    names = await _dispatch(driver, 5)
    deliveries = await driver.start(4)
    await driver.finish(deliveries[2])
    await driver.report(deliveries[0], ReportKind.RETRY, delay_ms=LATER_MS)
    await driver.cancel(names[1], names[4])
    page = await driver.transport.page(driver.queue, None, 100)
    assert [record.dispatch_id for record in page] == names[::-1]
    assert [record.status.name for record in page] == [
        "CANCELLED",
        "RUNNING",
        "COMPLETED",
        "CANCELLED",
        "SCHEDULED_FOR_RETRY",
    ]


@pytest.mark.parametrize("status", JobStatus)
async def test_page_can_be_narrowed_to_a_status(driver: Driver, status: JobStatus) -> None:
    await driver.finish(await driver.put_running("completed"))
    await driver.report(await driver.put_running("failed"), ReportKind.FAILED, error="Boom: x")
    await driver.report(await driver.put_running("scheduled_for_retry"), ReportKind.RETRY, delay_ms=LATER_MS)
    await driver.put_running("running")
    await driver.put("cancelled")
    await driver.cancel("cancelled")
    await driver.put("pending")
    (record,) = await driver.transport.page(driver.queue, status, 100)
    assert (record.status, record.dispatch_id) == (status, status.value)
    assert record == await driver.find(status.value)


async def test_page_shows_all_that_is_pending_wherever_it_waits(driver: Driver) -> None:
    await driver.put("ready", priority=3)
    await next_ms()
    await driver.put("scheduled", delay_ms=LATER_MS)
    for name in ("first", "second"):
        await next_ms()
        await driver.put(name, job_id="j", no_overlap=True)
    page = await driver.transport.page(driver.queue, JobStatus.PENDING, 100)
    assert [record.dispatch_id for record in page] == ["second", "first", "scheduled", "ready"]


async def test_page_shows_all_unfinished_ones(driver: Driver) -> None:
    batch = [envelope() for _ in range(1300)]
    await driver.put_all(batch)
    page = await driver.transport.page(driver.queue, JobStatus.PENDING, 5000)
    assert {record.dispatch_id for record in page} == {each.dispatch_id for each in batch}


async def test_page_keeps_the_newest_1000_of_a_final_status(driver: Driver) -> None:
    batch = [envelope() for _ in range(1100)]
    await driver.put_all(batch)
    started = await driver.start(1100)
    await driver.exchange([report_on(delivery, ReportKind.COMPLETED) for delivery in started])
    page = await driver.transport.page(driver.queue, JobStatus.COMPLETED, 5000)
    assert {record.dispatch_id for record in page} == {each.dispatch_id for each in batch[100:]}
    await driver.put("unfinished")
    assert len(await driver.transport.page(driver.queue, None, 5000)) == 1001


async def test_page_of_an_unused_queue_is_empty(transport: Transport) -> None:
    assert list(await transport.page("unused", None, 10)) == []


# ---- overview, queues, workers


async def test_the_overview_of_an_unused_queue_is_all_zeros(transport: Transport) -> None:
    assert await transport.overview("unused") == Overview(counts=dict.fromkeys(JobStatus, 0))
    assert list(await transport.queues()) == []


async def test_queues_are_named_in_order(driver: Driver) -> None:
    for name in ("b", "a.1", "A", "c-x_9"):
        await Driver(driver.transport, name).put()
    assert list(await driver.transport.queues()) == ["A", "a.1", "b", "c-x_9"]


async def test_a_beat_shows_a_worker(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.transport.beat(driver.session, ["emails", "others"], "running", [driver.held(delivery)])
    (worker,) = await driver.transport.workers()
    assert (worker.id, worker.status) == ("worker-1", "running")
    assert (set(worker.queues), worker.running) == ({"emails", "others"}, ("d-1",))
    assert abs(worker.last_seen.timestamp() * 1000 - now_ms()) < 10_000


async def test_a_later_beat_takes_the_place_of_the_earlier(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.beat(delivery)
    (first,) = await driver.transport.workers()
    await eventually(lambda: now_ms() > first.last_seen.timestamp() * 1000 + 5)
    await driver.beat(status="stopping")
    (worker,) = await driver.transport.workers()
    assert (worker.status, worker.running) == ("stopping", ())
    assert worker.last_seen > first.last_seen


async def test_workers_are_named_in_order(driver: Driver) -> None:
    for name in ("worker-3", "worker-1", "worker-2"):
        await driver.beat(by=session(name))
    assert [worker.id for worker in await driver.transport.workers()] == ["worker-1", "worker-2", "worker-3"]


async def test_a_retired_worker_is_gone(driver: Driver) -> None:
    await driver.beat()
    other = session("worker-2")
    await driver.beat(by=other)
    await driver.transport.retire(driver.session, [driver.queue])
    assert [worker.id for worker in await driver.transport.workers()] == ["worker-2"]
    await driver.transport.retire(driver.session, [driver.queue])


async def test_an_old_session_that_retires_leaves_the_new_one_of_its_id(driver: Driver) -> None:
    await driver.beat()
    await driver.beat(by=session(driver.session.worker_id))
    await driver.transport.retire(driver.session, [driver.queue])
    assert [worker.id for worker in await driver.transport.workers()] == ["worker-1"]


async def test_without_a_beat_there_is_no_worker(make_driver: MakeDriver) -> None:
    assert list(await make_driver().transport.workers()) == []
