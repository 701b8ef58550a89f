"""Leases: renewed by ``beat``, ended by time, recovered after a lost answer; and jobs that take their workers down."""

import pytest

from heracles.model import Delivery, JobStatus, ReportKind, Verdict
from heracles.units import now_ms
from tests.conformance.conftest import MakeDriver
from tests.conformance.driver import SHORT_LEASE_MS, Driver, envelope, ids, report_on, session
from tests.waiting import eventually


async def _abandon(driver: Driver, times: int, dispatch_id: str = "d-1") -> Delivery:
    """Start ``d-1`` that often, each time by a worker that then is not heard of any more."""
    await driver.put(dispatch_id)
    delivery = await driver.start_one(by=session("doomed-1"))
    for number in range(2, times + 1):
        delivery = await driver.start_one(by=session(f"doomed-{number}"))
        assert delivery.deliveries == number
    return delivery


# ---- the end of a lease


async def test_after_the_lease_a_job_starts_elsewhere(brief_leases: Driver) -> None:
    driver = brief_leases
    first = await driver.put_running("d-1")
    second = await driver.start_one(by=session("worker-2"))
    assert second.started_at_ms >= first.started_at_ms + SHORT_LEASE_MS
    assert (second.envelope, second.retries, second.deliveries) == (first.envelope, first.retries, 2)
    assert second.token > first.token
    assert second.created_at_ms == first.created_at_ms
    assert (await driver.find("d-1")).worker == "worker-2"
    assert await driver.counts() == {"RUNNING": 1}


async def test_reclaiming_tells_pending_then_running(brief_leases: Driver) -> None:
    driver = brief_leases
    await driver.put_running("d-1")
    cursor = await driver.cursor()
    await driver.start_one(by=session("worker-2"))
    assert [change.status for change in await driver.changes(cursor)] == [JobStatus.PENDING, JobStatus.RUNNING]


async def test_its_own_worker_may_reclaim_too(brief_leases: Driver) -> None:
    driver = brief_leases
    await driver.put_running("d-1")
    assert (await driver.start_one()).deliveries == 2


async def test_what_is_reclaimed_queues_as_of_then(brief_leases: Driver) -> None:
    driver = brief_leases
    first = await driver.put_running("d-1")
    await driver.put("d-2")
    await driver.put("d-3")
    end_ms = first.started_at_ms + SHORT_LEASE_MS
    await eventually(lambda: now_ms() > end_ms + 20, what="the lease to end")
    assert ids(await driver.start(by=session("worker-2"))) == ["d-2", "d-3", "d-1"]


async def test_a_report_after_the_reclaim_is_lost(brief_leases: Driver) -> None:
    driver = brief_leases
    first = await driver.put_running("d-1")
    second = await driver.start_one(by=session("worker-2"))
    for kind in ReportKind:
        assert await driver.report(first, kind, result=b"1", error="Boom: x") is Verdict.LOST
    assert (await driver.find("d-1")).token == second.token
    await driver.finish(second, result=b"2")
    assert (await driver.find("d-1")).result == b"2"
    assert await driver.report(first, ReportKind.FAILED) is Verdict.LOST
    assert await driver.counts() == {"COMPLETED": 1}


async def test_a_lost_report_lowers_deliveries(brief_leases: Driver) -> None:
    driver = brief_leases
    first = await driver.put_running("d-1")
    second = await driver.start_one(by=session("worker-2"))
    assert second.deliveries == 2
    assert await driver.report(first, ReportKind.COMPLETED) is Verdict.LOST
    third = await driver.start_one(by=session("worker-3"))
    assert third.deliveries == 2, "the first worker lives, so that start does not count"


async def test_a_report_before_the_reclaim_counts_although_the_lease_is_over(brief_leases: Driver) -> None:
    driver = brief_leases
    delivery = await driver.put_running("d-1")
    await eventually(lambda: now_ms() > delivery.started_at_ms + SHORT_LEASE_MS + 20)
    assert await driver.report(delivery, ReportKind.COMPLETED) is Verdict.APPLIED


async def test_upkeep_reclaims_too(brief_leases: Driver) -> None:
    driver = brief_leases
    delivery = await driver.put_running("d-1")

    async def swept() -> bool:
        await driver.transport.maintain(driver.queue)
        return await driver.status("d-1") is JobStatus.PENDING or bool(await driver.start(1, by=session("worker-2")))

    await eventually(swept)
    assert (await driver.find("d-1")).token > delivery.token


# ---- beats


async def test_beats_renew_the_lease(make_driver: MakeDriver) -> None:
    driver = make_driver(lease=600)
    delivery = await driver.put_running("d-1")

    async def beaten_past_the_end() -> bool:
        beaten = await driver.beat(delivery)
        assert (beaten.lost, beaten.cancelled) == ((), ())
        assert await driver.start(by=session("worker-2")) == []
        return now_ms() > delivery.started_at_ms + 1500

    await eventually(beaten_past_the_end, interval_s=0.02)
    await driver.finish(delivery)


async def test_a_beat_names_what_was_reclaimed(brief_leases: Driver) -> None:
    driver = brief_leases
    first = await driver.put_running("d-1")
    second = await driver.start_one(by=session("worker-2"))
    beaten = await driver.beat(first)
    assert (beaten.lost, beaten.cancelled) == ((driver.held(first),), ())
    assert (await driver.beat(second, by=session("worker-2"))).lost == ()


async def test_a_beat_names_what_is_gone(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.finish(delivery)
    assert (await driver.beat(delivery)).lost == (driver.held(delivery),)


async def test_a_beat_names_what_was_cancelled(driver: Driver) -> None:
    kept, gone = await driver.put_running("d-1"), await driver.put_running("d-2")
    await driver.cancel("d-2")
    for _ in range(2):
        beaten = await driver.beat(kept, gone)
        assert (beaten.lost, beaten.cancelled) == ((), (driver.held(gone),))


async def test_a_beat_holds_many_and_from_several_queues(driver: Driver) -> None:
    other = Driver(driver.transport, "others")
    await driver.put_all([envelope() for _ in range(300)])
    held = [driver.held(delivery) for delivery in await driver.start(300)]
    held.append(other.held(await other.put_running("d-1")))
    await driver.cancel(held[7].dispatch_id)
    beaten = await driver.transport.beat(driver.session, [driver.queue, other.queue], "running", held)
    assert (beaten.lost, beaten.cancelled) == ((), (held[7],))


# ---- an answer that got lost


async def test_recover_finds_what_the_session_holds_beyond_the_known(driver: Driver) -> None:
    await driver.put_all([envelope() for _ in range(5)])
    started = await driver.start(5)
    held = [driver.held(delivery) for delivery in started[:2]]
    recovered = await driver.transport.recover(driver.queue, driver.session, held)
    assert sorted(ids(recovered)) == sorted(ids(started[2:]))
    by_id = {delivery.envelope.dispatch_id: delivery for delivery in started}
    for delivery in recovered:
        original = by_id[delivery.envelope.dispatch_id]
        assert (delivery.token, delivery.envelope) == (original.token, original.envelope)
        await driver.finish(delivery)


async def test_recover_finds_nothing_where_all_is_known(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    assert list(await driver.transport.recover(driver.queue, driver.session, [driver.held(delivery)])) == []


async def test_recover_finds_nothing_that_has_ended(driver: Driver) -> None:
    for number in range(3):
        await driver.put(f"d-{number}")
    first, second, third = await driver.start(3)
    await driver.finish(first)
    await driver.report(second, ReportKind.RETRY, delay_ms=60_000)
    recovered = await driver.transport.recover(driver.queue, driver.session, [])
    assert ids(recovered) == [third.envelope.dispatch_id]


@pytest.mark.parametrize("worker_id", ["worker-1", "worker-2"])
async def test_recover_finds_nothing_of_another_session(driver: Driver, worker_id: str) -> None:
    await driver.put_running("d-1")
    assert list(await driver.transport.recover(driver.queue, session(worker_id), [])) == []


async def test_a_worker_that_starts_again_under_its_id_waits_for_the_old_lease(brief_leases: Driver) -> None:
    driver = brief_leases
    first = await driver.put_running("d-1")
    again = await driver.start_one(by=session(driver.session.worker_id))
    assert again.started_at_ms >= first.started_at_ms + SHORT_LEASE_MS
    assert again.deliveries == 2


# ---- jobs that take their workers down


async def test_from_the_third_delivery_on_a_pause_comes_first(make_driver: MakeDriver) -> None:
    driver = make_driver(lease=200)
    second = await _abandon(driver, 2)
    third = await driver.start_one(by=session("worker-3"))
    assert third.deliveries == 3
    assert third.started_at_ms > second.started_at_ms + 200


async def test_after_max_deliveries_a_job_is_failed(make_driver: MakeDriver) -> None:
    driver = make_driver(lease=200, max_deliveries=2)
    await _abandon(driver, 2)

    async def failed() -> bool:
        assert await driver.start(by=session("worker-3")) == []
        return await driver.status("d-1") is JobStatus.FAILED

    await eventually(failed)
    record = await driver.find("d-1")
    assert record.error
    assert "2" in record.error
    assert record.completed_at_ms is not None
    assert record.envelope is not None
    assert await driver.counts() == {"FAILED": 1}
    assert not (await driver.transport.overview(driver.queue)).gates.paused


async def test_failing_so_pauses_with_pause_on_error(make_driver: MakeDriver) -> None:
    driver = make_driver(lease=200, max_deliveries=1)
    await _abandon(driver, 1)

    async def failed() -> bool:
        await driver.start(by=session("worker-2"), pause_on_error=True)
        return await driver.status("d-1") is JobStatus.FAILED

    await eventually(failed)
    assert (await driver.transport.overview(driver.queue)).gates.paused


async def test_a_report_starts_the_count_of_deliveries_anew(make_driver: MakeDriver) -> None:
    driver = make_driver(lease=200, max_deliveries=2)
    second = await _abandon(driver, 2)
    await driver.report(second, ReportKind.RETRY, delay_ms=0)
    assert (await driver.start_one()).deliveries == 1


async def test_without_suspects_none_starts(make_driver: MakeDriver) -> None:
    driver = make_driver(lease=200)
    await _abandon(driver, 2)
    wary = session("worker-3")
    end_ms = now_ms() + 1500
    await driver.put("innocent")
    started: list[Delivery] = []

    async def time_is_over() -> bool:
        started.extend(await driver.start(10, by=wary, suspects=False))
        return now_ms() > end_ms

    await eventually(time_is_over)
    assert ids(started)[0] == "innocent"
    assert "d-1" not in ids(started)
    assert (await driver.start_one(by=session("worker-4"))).deliveries >= 3


async def test_of_suspects_one_at_most_starts(make_driver: MakeDriver) -> None:
    driver = make_driver(lease=200)
    suspects = {f"d-{number}" for number in range(3)}
    await driver.put_all([envelope(dispatch_id=name) for name in sorted(suspects)])
    doomed = session("doomed")
    counted: dict[str, int] = {}

    async def all_fell_twice() -> bool:
        for delivery in await driver.start(10, by=doomed, suspects=False):
            counted[delivery.envelope.dispatch_id] = delivery.deliveries
        return set(counted.values()) == {2} and len(counted) == 3

    await eventually(all_fell_twice)
    batches: list[list[Delivery]] = []

    async def all_started() -> bool:
        if started := await driver.start(10, by=session("worker-2")):
            batches.append(started)
        return len(batches) >= 3

    await eventually(all_started)
    assert [len(batch) for batch in batches] == [1] * len(batches)
    assert batches[0][0].deliveries == 3


# ---- a worker that stops


async def test_what_a_retired_worker_held_waits_for_its_lease(brief_leases: Driver) -> None:
    driver = brief_leases
    first = await driver.put_running("d-1")
    await driver.transport.retire(driver.session, [driver.queue])
    second = await driver.start_one(by=session("worker-2"))
    assert second.started_at_ms >= first.started_at_ms + SHORT_LEASE_MS


async def test_a_stopped_session_may_still_report(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.transport.retire(driver.session, [driver.queue])
    exchanged = await driver.exchange([report_on(delivery, ReportKind.COMPLETED)])
    assert exchanged.verdicts == (Verdict.APPLIED,)
