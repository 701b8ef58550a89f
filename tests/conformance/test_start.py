"""``Transport.exchange``, starting: which jobs, in which order, and what a start is."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from heracles.model import Envelope, JobStatus, ReportKind, Verdict
from heracles.units import now_ms
from tests.conformance.driver import LATER_MS, Driver, envelope, ids, next_ms, report_on, session
from tests.waiting import eventually


def ids_of(batch: Sequence[Envelope]) -> list[str]:
    return [each.dispatch_id for each in batch]


async def test_a_start_sets_running_and_hands_out_a_token(driver: Driver) -> None:
    made = await driver.put("d-1")
    delivery = await driver.start_one()
    assert delivery.envelope == made
    assert (delivery.retries, delivery.deliveries, delivery.last_error) == (0, 1, None)
    assert delivery.unknown_since_ms is None
    record = await driver.find("d-1")
    assert (record.status, record.worker, record.name) == (JobStatus.RUNNING, "worker-1", "SendEmail")
    assert (record.token, record.started_at_ms) == (delivery.token, delivery.started_at_ms)
    assert record.created_at_ms == delivery.created_at_ms <= delivery.started_at_ms
    assert record.completed_at_ms is None
    assert await driver.counts() == {"RUNNING": 1}


async def test_every_start_raises_the_token(driver: Driver) -> None:
    delivery = await driver.put_running()
    tokens = [delivery.token]
    for _ in range(3):
        await driver.report(delivery, ReportKind.RETURNED)
        delivery = await driver.start_one()
        tokens.append(delivery.token)
    assert tokens == sorted(set(tokens))
    assert tokens[0] > 0


async def test_equal_priorities_start_in_the_order_of_dispatch(driver: Driver) -> None:
    batch = [envelope(dispatch_id=f"d-{random.random()}") for _ in range(30)]
    for each in batch[:10]:
        await driver.put_all([each])
    await driver.put_all(batch[10:])
    assert ids([await driver.start_one() for _ in range(5)]) == ids_of(batch[:5])
    assert ids(await driver.start()) == ids_of(batch[5:])


async def test_lower_priorities_start_first(driver: Driver) -> None:
    priorities = [10, 100, 0, 50, 10, 0, 9, 11, 100]
    batch = [envelope(priority=priority) for priority in priorities]
    await driver.put_all(batch)
    expected = sorted(batch, key=lambda each: each.priority)
    assert ids(await driver.start(4)) == ids_of(expected[:4])
    assert ids(await driver.start()) == ids_of(expected[4:])


async def test_a_later_dispatch_of_lower_priority_overtakes(driver: Driver) -> None:
    await driver.put_all([envelope() for _ in range(5)])
    await driver.start(2)
    await driver.put("urgent", priority=0)
    assert ids(await driver.start(1)) == ["urgent"]


async def test_every_priority_is_served(driver: Driver) -> None:
    priorities = list(range(101))
    random.Random(7).shuffle(priorities)
    await driver.put_all([envelope(priority=priority) for priority in priorities])
    started = await driver.start(200)
    assert [each.envelope.priority for each in started] == list(range(101))


async def test_up_to_as_many_start_as_there_are_slots(driver: Driver) -> None:
    await driver.put_all([envelope() for _ in range(5)])
    assert len(await driver.start(2)) == 2
    assert await driver.start(0) == []
    assert len(await driver.start(10)) == 3
    assert await driver.start(10) == []


async def test_many_slots_are_filled_at_once(driver: Driver) -> None:
    batch = [envelope() for _ in range(600)]
    await driver.put_all(batch)
    assert ids(await driver.start(600)) == ids_of(batch)
    assert await driver.counts() == {"RUNNING": 600}


async def test_next_due_is_zero_while_more_is_ready(driver: Driver) -> None:
    await driver.put_all([envelope() for _ in range(3)])
    assert (await driver.exchange(slots=2)).next_due_ms == 0
    assert (await driver.exchange(slots=2)).next_due_ms is None


async def test_reports_and_starts_go_in_one_call(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.put("d-2")
    exchanged = await driver.exchange([report_on(delivery, ReportKind.COMPLETED)], slots=1)
    assert exchanged.verdicts == (Verdict.APPLIED,)
    assert ids(exchanged.started) == ["d-2"]
    assert await driver.counts() == {"RUNNING": 1, "COMPLETED": 1}


async def test_a_report_frees_what_the_same_call_starts(driver: Driver) -> None:
    delivery = await driver.put_running("d-1", job_id="j", no_overlap=True)
    await driver.put("d-2", job_id="j", no_overlap=True)
    exchanged = await driver.exchange([report_on(delivery, ReportKind.COMPLETED)], slots=1)
    assert ids(exchanged.started) == ["d-2"]


async def test_a_job_is_started_for_one_worker(driver: Driver) -> None:
    batch = [envelope() for _ in range(200)]
    await driver.put_all(batch)
    workers = [session(f"worker-{number}") for number in range(8)]
    answers = await asyncio.gather(*(driver.start(7, by=worker) for worker in workers * 5))
    started = [name for answer in answers for name in ids(answer)]
    assert sorted(started) == sorted(ids_of(batch))


async def test_a_job_that_runs_is_not_started_again_within_its_lease(driver: Driver) -> None:
    await driver.put_running()
    assert await driver.start(by=session("worker-2")) == []
    assert await driver.start() == []


async def test_queues_do_not_mix(driver: Driver) -> None:
    other = Driver(driver.transport, "others")
    await driver.put("d-1")
    await other.put("d-2")
    assert ids(await other.start()) == ["d-2"]
    assert ids(await driver.start()) == ["d-1"]
    assert (await driver.counts(), await other.counts()) == ({"RUNNING": 1}, {"RUNNING": 1})


@pytest.mark.parametrize("suspects", [True, False])
async def test_a_first_start_is_no_suspect(driver: Driver, suspects: bool) -> None:
    await driver.put_all([envelope() for _ in range(3)])
    assert len(await driver.start(suspects=suspects)) == 3


# ---- what a worker gives back or retries, and where it queues


async def test_unstarted_keeps_its_place(driver: Driver) -> None:
    await driver.put_all([envelope(dispatch_id=f"d-{number}") for number in range(4)])
    first, second = await driver.start(2)
    for delivery in (second, first):
        assert await driver.report(delivery, ReportKind.UNSTARTED) is Verdict.APPLIED
    await driver.put("d-4")
    assert ids(await driver.start()) == ["d-0", "d-1", "d-2", "d-3", "d-4"]


async def test_unstarted_keeps_its_place_among_priorities(driver: Driver) -> None:
    await driver.put("d-10")
    given_back = await driver.start_one()
    await driver.report(given_back, ReportKind.UNSTARTED)
    await driver.put("d-5", priority=5)
    await driver.put("d-11", priority=11)
    assert ids(await driver.start()) == ["d-5", "d-10", "d-11"]


async def test_returned_queues_as_of_now(driver: Driver) -> None:
    await driver.put_all([envelope(dispatch_id=f"d-{number}") for number in range(3)])
    (first,) = await driver.start(1)
    await driver.report(first, ReportKind.RETURNED)
    await driver.put("d-3")
    assert ids(await driver.start()) == ["d-1", "d-2", "d-0", "d-3"]


async def test_a_retry_queues_as_of_its_due_time(driver: Driver) -> None:
    delivery = await driver.put_running("d-0")
    await driver.put("d-1")
    await next_ms()
    await driver.report(delivery, ReportKind.RETRY, delay_ms=0)
    await next_ms()
    await driver.put("d-2")
    assert ids([await driver.start_one() for _ in range(3)]) == ["d-1", "d-0", "d-2"]


async def test_a_retry_keeps_its_priority(driver: Driver) -> None:
    delivery = await driver.put_running("d-0", priority=1)
    await driver.put("d-1", priority=2)
    await driver.report(delivery, ReportKind.RETRY, delay_ms=0)
    assert ids([await driver.start_one() for _ in range(2)]) == ["d-0", "d-1"]


async def test_a_retry_says_when_it_is_due(driver: Driver) -> None:
    delivery = await driver.put_running()
    exchanged = await driver.exchange([report_on(delivery, ReportKind.RETRY, delay_ms=LATER_MS)], slots=1)
    assert exchanged.next_due_ms is not None
    assert 0 < exchanged.next_due_ms <= LATER_MS


async def test_what_is_returned_queues_behind_what_was_due_before(driver: Driver) -> None:
    delivery = await driver.put_running("d-0")
    await driver.put("due", delay_ms=30)
    due_ms = (await driver.find("due")).scheduled_for_ms or 0
    await eventually(lambda: now_ms() > due_ms + 5)
    await driver.report(delivery, ReportKind.RETURNED)
    assert ids([await driver.start_one() for _ in range(2)]) == ["due", "d-0"]
