"""NO_OVERLAP: one run of a job id at a time, in the order of readiness, a delay apart."""

import asyncio

import pytest

from heracles.model import Delivery, JobStatus, ReportKind, SignalKind
from heracles.units import now_ms
from tests.conformance.conftest import MakeDriver
from tests.conformance.driver import (
    LATER_MS,
    SHORT_LEASE_MS,
    Driver,
    envelope,
    ids,
    is_woken,
    next_ms,
    report_on,
    session,
)
from tests.waiting import eventually


async def _line(driver: Driver, count: int, **fields: object) -> list[str]:
    """That many NO_OVERLAP dispatches ``d-0``, ``d-1``, … of the job id ``j``, one call each."""
    names = [f"d-{number}" for number in range(count)]
    for name in names:
        await driver.put(name, **{"job_id": "j", "no_overlap": True, **fields})
    return names


async def _run_in_turn(driver: Driver, count: int) -> list[str]:
    """Start and complete one after the other; never two at once."""
    order = []
    for _ in range(count):
        delivery = await driver.start_one()
        assert await driver.start() == [], "one is running"
        order.append(delivery.envelope.dispatch_id)
        await driver.finish(delivery)
    return order


async def test_one_runs_and_the_others_wait_pending(driver: Driver) -> None:
    await _line(driver, 3)
    assert ids(await driver.start()) == ["d-0"]
    assert await driver.counts() == {"RUNNING": 1, "PENDING": 2}
    assert await driver.start(by=session("worker-2")) == []


async def test_they_start_in_the_order_of_dispatch(driver: Driver) -> None:
    names = await _line(driver, 6)
    assert await _run_in_turn(driver, 6) == names


async def test_the_order_holds_whatever_their_priorities(driver: Driver) -> None:
    for name, priority in [("d-0", 50), ("d-1", 0), ("d-2", 100), ("d-3", 10)]:
        await driver.put(name, job_id="j", no_overlap=True, priority=priority)
    assert await _run_in_turn(driver, 4) == ["d-0", "d-1", "d-2", "d-3"]


async def test_within_one_batch_the_order_holds_too(driver: Driver) -> None:
    batch = [envelope(job_id="j", no_overlap=True, dispatch_id=f"d-{number}") for number in range(300)]
    await driver.put_all(batch)
    order = []
    (delivery,) = await driver.start()
    for _ in range(299):
        order.append(delivery.envelope.dispatch_id)
        exchanged = await driver.exchange([report_on(delivery, ReportKind.COMPLETED)], slots=10)
        (delivery,) = exchanged.started
    assert order == [each.dispatch_id for each in batch[:299]]


async def test_those_that_wait_take_no_slot(driver: Driver) -> None:
    await _line(driver, 4)
    await driver.put("other")
    assert ids(await driver.start(2)) == ["d-0", "other"]


async def test_other_job_ids_do_not_wait(driver: Driver) -> None:
    await driver.put_all([envelope(job_id=f"j-{number}", no_overlap=True) for number in range(5)])
    assert len(await driver.start()) == 5


async def test_other_queues_do_not_wait(driver: Driver) -> None:
    other = Driver(driver.transport, "others")
    await _line(driver, 1)
    await _line(other, 1)
    assert (len(await driver.start()), len(await other.start())) == (1, 1)


async def test_those_that_may_overlap_do(driver: Driver) -> None:
    await _line(driver, 1)
    await driver.put("free-1", job_id="j")
    await driver.put("free-2", job_id="j")
    assert ids(await driver.start()) == ["d-0", "free-1", "free-2"]


async def test_one_that_may_overlap_holds_up_none(driver: Driver) -> None:
    await driver.put_running("free", job_id="j")
    await _line(driver, 1)
    assert ids(await driver.start()) == ["d-0"]


async def test_words_in_the_arguments_of_one_that_may_overlap_lock_nothing(driver: Driver) -> None:
    await driver.put("a", job_id="j", kwargs=b'{"mode":"no_overlap"}')
    await driver.finish(await driver.start_one())
    await driver.put("b", job_id="j", no_overlap=True)
    assert ids(await driver.start()) == ["b"]


async def test_a_scheduled_one_stands_in_line_from_when_it_is_due(driver: Driver) -> None:
    await driver.put("late", job_id="j", no_overlap=True, delay_ms=150)
    await driver.put("now", job_id="j", no_overlap=True)
    delivery = await driver.start_one()
    assert delivery.envelope.dispatch_id == "now"
    await eventually(lambda: now_ms() > delivery.started_at_ms + 200)
    assert await driver.start() == []
    await driver.finish(delivery)
    assert ids([await driver.start_one()]) == ["late"]


async def test_a_due_one_stands_before_what_is_dispatched_later(driver: Driver) -> None:
    await driver.put("due", job_id="j", no_overlap=True, delay_ms=100)
    due_ms = (await driver.find("due")).scheduled_for_ms or 0
    await eventually(lambda: now_ms() > due_ms + 20)
    await driver.put("later", job_id="j", no_overlap=True)
    assert await _run_in_turn(driver, 2) == ["due", "later"]


@pytest.mark.parametrize("kind", [ReportKind.COMPLETED, ReportKind.FAILED])
async def test_the_end_of_one_lets_the_next_start(driver: Driver, kind: ReportKind) -> None:
    await _line(driver, 2)
    await driver.report(await driver.start_one(), kind)
    assert ids(await driver.start()) == ["d-1"]


async def test_a_wait_for_a_retry_frees_the_lock(driver: Driver) -> None:
    await _line(driver, 2)
    first = await driver.start_one()
    await driver.report(first, ReportKind.RETRY, delay_ms=LATER_MS)
    assert ids(await driver.start()) == ["d-1"]
    assert await driver.counts() == {"SCHEDULED_FOR_RETRY": 1, "RUNNING": 1}


async def test_a_retry_stands_in_line_from_when_it_is_due(driver: Driver) -> None:
    await _line(driver, 3)
    first = await driver.start_one()
    await next_ms()
    await driver.report(first, ReportKind.RETRY, delay_ms=0)
    assert await _run_in_turn(driver, 3) == ["d-1", "d-2", "d-0"]


async def test_while_a_retry_runs_none_of_its_job_id_starts(driver: Driver) -> None:
    await _line(driver, 1)
    await driver.report(await driver.start_one(), ReportKind.RETRY, delay_ms=0)
    await driver.start_one()
    await driver.put("d-9", job_id="j", no_overlap=True)
    assert await driver.start() == []


async def test_unstarted_keeps_its_place_in_line(driver: Driver) -> None:
    await _line(driver, 3)
    await driver.report(await driver.start_one(), ReportKind.UNSTARTED)
    assert await _run_in_turn(driver, 3) == ["d-0", "d-1", "d-2"]


async def test_what_is_returned_runs_again(driver: Driver) -> None:
    await _line(driver, 2)
    await driver.report(await driver.start_one(), ReportKind.RETURNED)
    assert sorted(await _run_in_turn(driver, 2)) == ["d-0", "d-1"]


async def test_what_is_unknown_to_a_worker_holds_the_others_up_no_longer_than_its_delay(driver: Driver) -> None:
    await _line(driver, 2)
    await driver.report(await driver.start_one(), ReportKind.UNKNOWN, delay_ms=50)
    assert sorted(await _run_in_turn(driver, 2)) == ["d-0", "d-1"]


async def test_what_is_reclaimed_keeps_its_place_in_line(brief_leases: Driver) -> None:
    driver = brief_leases
    await _line(driver, 2)
    first = await driver.start_one()
    second = await driver.start_one(by=session("worker-2"))
    assert (second.envelope.dispatch_id, second.deliveries) == ("d-0", 2)
    assert second.started_at_ms >= first.started_at_ms + SHORT_LEASE_MS
    await driver.finish(second)
    assert ids([await driver.start_one()]) == ["d-1"]


async def test_a_late_report_does_not_free_the_lock(brief_leases: Driver) -> None:
    driver = brief_leases
    await _line(driver, 2)
    first = await driver.start_one()
    second = await driver.start_one(by=session("worker-2"))
    for kind in ReportKind:
        await driver.report(first, kind)
    assert (await driver.beat(second, by=session("worker-2"))).lost == ()
    assert await driver.start() == []


async def test_beats_keep_the_lock(make_driver: MakeDriver) -> None:
    driver = make_driver(lease=600)
    await _line(driver, 2)
    delivery = await driver.start_one()

    async def beaten_past_the_end() -> bool:
        await driver.beat(delivery)
        assert await driver.start(by=session("worker-2")) == []
        return now_ms() > delivery.started_at_ms + 1300

    await eventually(beaten_past_the_end, interval_s=0.02)


async def test_at_once_from_many_workers_one_runs(driver: Driver) -> None:
    await _line(driver, 10)
    workers = [session(f"worker-{number}") for number in range(10)]
    answers = await asyncio.gather(*(driver.start(5, by=worker) for worker in workers))
    assert sum(len(answer) for answer in answers) == 1


# ---- cancelling in the line


@pytest.mark.parametrize("victim", [0, 1, 2])
async def test_a_cancelled_one_leaves_the_line(driver: Driver, victim: int) -> None:
    names = await _line(driver, 3)
    assert await driver.cancel(names[victim]) == [True]
    assert await _run_in_turn(driver, 2) == [name for name in names if name != names[victim]]


async def test_a_cancelled_run_holds_the_lock_until_it_is_released(driver: Driver) -> None:
    await _line(driver, 2)
    delivery = await driver.start_one()
    await driver.cancel("d-0")
    assert await driver.start() == []
    await driver.report(delivery, ReportKind.RELEASED)
    assert ids(await driver.start()) == ["d-1"]


@pytest.mark.parametrize("kind", [ReportKind.COMPLETED, ReportKind.FAILED, ReportKind.RETRY])
async def test_the_verdict_cancelled_frees_the_lock(driver: Driver, kind: ReportKind) -> None:
    await _line(driver, 2)
    delivery = await driver.start_one()
    await driver.cancel("d-0")
    await driver.report(delivery, kind)
    assert ids(await driver.start()) == ["d-1"]


async def test_the_verdict_cancelled_keeps_the_lock_of_code_that_still_runs(driver: Driver) -> None:
    await _line(driver, 2)
    delivery = await driver.start_one()
    await driver.cancel("d-0")
    await driver.report(delivery, ReportKind.FAILED, still_running=True)
    assert await driver.start() == []
    await driver.report(delivery, ReportKind.RELEASED)
    assert ids(await driver.start()) == ["d-1"]


async def test_the_lock_of_a_cancelled_run_ends_with_its_lease(brief_leases: Driver) -> None:
    driver = brief_leases
    await _line(driver, 2)
    delivery = await driver.start_one()
    await driver.cancel("d-0")
    following = await driver.start_one(by=session("worker-2"))
    assert following.envelope.dispatch_id == "d-1"
    assert following.started_at_ms >= delivery.started_at_ms + SHORT_LEASE_MS
    assert await driver.status("d-0") is JobStatus.CANCELLED


@pytest.mark.parametrize("kind", [ReportKind.FAILED, ReportKind.RETRY])
async def test_code_that_still_runs_keeps_the_lock(driver: Driver, kind: ReportKind) -> None:
    await _line(driver, 2)
    delivery = await driver.start_one()
    await driver.report(delivery, kind, still_running=True, delay_ms=LATER_MS)
    assert await driver.start() == []
    await driver.report(delivery, ReportKind.RELEASED)
    assert ids(await driver.start()) == ["d-1"]


async def test_the_lock_of_code_that_still_runs_ends_with_its_lease(brief_leases: Driver) -> None:
    driver = brief_leases
    await _line(driver, 2)
    delivery = await driver.start_one()
    await driver.report(delivery, ReportKind.FAILED, still_running=True)
    following = await driver.start_one(by=session("worker-2"))
    assert following.envelope.dispatch_id == "d-1"
    assert following.started_at_ms >= delivery.started_at_ms + SHORT_LEASE_MS
    assert await driver.status("d-0") is JobStatus.FAILED


# ---- the delay between two


async def _end(driver: Driver, delivery: Delivery, kind: ReportKind, delay_ms: int) -> int:
    """Report the end with an overlap delay; when it ended, by the store's clock."""
    await driver.report(delivery, kind, overlap_delay_ms=delay_ms)
    return (await driver.find(delivery.envelope.dispatch_id)).completed_at_ms or 0


@pytest.mark.parametrize("kind", [ReportKind.COMPLETED, ReportKind.FAILED])
async def test_the_next_starts_no_earlier_than_the_overlap_delay(driver: Driver, kind: ReportKind) -> None:
    await _line(driver, 2)
    ended_ms = await _end(driver, await driver.start_one(), kind, 200)
    exchanged = await driver.exchange(slots=5)
    assert exchanged.started == ()
    assert exchanged.next_due_ms is not None
    assert 0 < exchanged.next_due_ms <= 200
    assert (await driver.start_one()).started_at_ms >= ended_ms + 200


async def test_the_delay_holds_for_what_is_dispatched_within_it(driver: Driver) -> None:
    await _line(driver, 1)
    ended_ms = await _end(driver, await driver.start_one(), ReportKind.COMPLETED, 200)
    for name in ("d-8", "d-9"):
        await driver.put(name, job_id="j", no_overlap=True)
    await driver.put("other")
    assert ids(await driver.start()) == ["other"]
    following = await driver.start_one()
    assert following.envelope.dispatch_id == "d-8"
    assert following.started_at_ms >= ended_ms + 200
    assert await driver.start() == []


async def test_the_delay_does_not_hold_up_what_may_overlap(driver: Driver) -> None:
    await _line(driver, 1)
    await _end(driver, await driver.start_one(), ReportKind.COMPLETED, LATER_MS)
    await driver.put("free", job_id="j")
    assert ids(await driver.start()) == ["free"]


async def test_after_a_delay_one_starts_at_a_time(driver: Driver) -> None:
    await _line(driver, 3)
    await _end(driver, await driver.start_one(), ReportKind.COMPLETED, 100)
    assert await _run_in_turn(driver, 2) == ["d-1", "d-2"]


async def test_the_delay_counts_from_the_release_of_code_that_still_ran(driver: Driver) -> None:
    await _line(driver, 2)
    delivery = await driver.start_one()
    await driver.report(delivery, ReportKind.FAILED, still_running=True, overlap_delay_ms=200)
    before_ms = now_ms()
    await driver.report(delivery, ReportKind.RELEASED, overlap_delay_ms=200)
    assert (await driver.start_one()).started_at_ms >= before_ms + 200


async def test_the_delay_holds_after_a_cancelled_run(driver: Driver) -> None:
    await _line(driver, 2)
    delivery = await driver.start_one()
    await driver.cancel("d-0")
    before_ms = now_ms()
    await driver.report(delivery, ReportKind.RELEASED, overlap_delay_ms=200)
    assert (await driver.start_one()).started_at_ms >= before_ms + 200


async def test_a_dispatch_that_is_cancelled_within_the_delay_never_starts(driver: Driver) -> None:
    await _line(driver, 3)
    await _end(driver, await driver.start_one(), ReportKind.COMPLETED, 100)
    assert await driver.cancel("d-1") == [True]
    assert ids([await driver.start_one()]) == ["d-2"]


# ---- hints


async def test_the_end_of_one_wakes_a_worker_for_the_next(driver: Driver) -> None:
    await _line(driver, 2)
    delivery = await driver.start_one()
    listener = driver.listen(session("worker-2"))
    await listener.wait(1)
    await driver.finish(delivery)
    assert await is_woken(listener, SignalKind.WORK)
    await listener.close()


async def test_the_release_of_a_cancelled_one_wakes_a_worker_for_the_next(driver: Driver) -> None:
    await _line(driver, 2)
    delivery = await driver.start_one()
    await driver.cancel("d-0")
    listener = driver.listen(session("worker-2"))
    await listener.wait(1)
    await driver.report(delivery, ReportKind.RELEASED)
    assert await is_woken(listener, SignalKind.WORK)
    await listener.close()


async def test_beats_keep_the_lock_of_a_cancelled_run(brief_leases: Driver) -> None:
    driver = brief_leases
    await _line(driver, 2)
    delivery = await driver.start_one()
    await driver.cancel("d-0")

    async def beaten_past_the_end() -> bool:
        beaten = await driver.beat(delivery)
        assert beaten.cancelled == (driver.held(delivery),)
        assert await driver.start(by=session("worker-2")) == []
        return now_ms() > delivery.started_at_ms + 2 * SHORT_LEASE_MS

    await eventually(beaten_past_the_end, interval_s=0.02)
    await driver.report(delivery, ReportKind.RELEASED)
    assert ids(await driver.start()) == ["d-1"]


async def test_a_retry_stands_behind_what_was_due_before(driver: Driver) -> None:
    delivery = await driver.put_running("d-0", job_id="j", no_overlap=True)
    await driver.put("due", job_id="j", no_overlap=True, delay_ms=5)
    due_ms = (await driver.find("due")).scheduled_for_ms or 0
    await eventually(lambda: now_ms() > due_ms + 5)
    await driver.report(delivery, ReportKind.RETRY, delay_ms=0)
    assert await _run_in_turn(driver, 2) == ["due", "d-0"]


async def test_a_due_one_stands_before_what_jobs_dispatch_to_a_draining_queue(driver: Driver) -> None:
    await driver.put("due", job_id="j", no_overlap=True, delay_ms=5)
    due_ms = (await driver.find("due")).scheduled_for_ms or 0
    await eventually(lambda: now_ms() > due_ms + 5)
    await driver.transport.gate(driver.queue, draining=True)
    await driver.put("later", job_id="j", no_overlap=True, from_job=True)
    assert await _run_in_turn(driver, 2) == ["due", "later"]
