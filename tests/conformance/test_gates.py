"""``Transport.gate``: pausing and draining."""

import asyncio

import pytest

from heracles.model import Gates, ReportKind, Storing
from heracles.transport import Transport
from heracles.units import now_ms
from tests.conformance.conftest import MakeDriver
from tests.conformance.driver import SHORT_LEASE_MS, Driver, envelope, ids, session
from tests.conftest import MakeTransport
from tests.stores import Store
from tests.waiting import eventually

OPEN, PAUSED, DRAINING = Gates(), Gates(paused=True), Gates(draining=True)


async def test_a_queue_is_open_at_first(transport: Transport) -> None:
    assert await transport.gate("emails") == OPEN
    assert (await transport.overview("emails")).gates == OPEN


@pytest.mark.parametrize(("given", "gates"), [({"paused": True}, PAUSED), ({"draining": True}, DRAINING)])
async def test_what_is_given_is_set_and_holds(transport: Transport, given: dict[str, bool], gates: Gates) -> None:
    assert await transport.gate("emails", **given) == gates
    assert await transport.gate("emails", **given) == gates
    assert await transport.gate("emails") == gates
    assert (await transport.overview("emails")).gates == gates


async def test_each_gate_opens_by_itself(transport: Transport) -> None:
    await transport.gate("emails", draining=True)
    assert await transport.gate("emails", paused=True) == Gates(paused=True, draining=True)
    assert await transport.gate("emails", draining=False) == PAUSED
    assert await transport.gate("emails", paused=False) == OPEN


async def test_both_gates_open_at_once(transport: Transport) -> None:
    await transport.gate("emails", draining=True)
    await transport.gate("emails", paused=True)
    assert await transport.gate("emails", paused=False, draining=False) == OPEN


async def test_draining_a_paused_queue_changes_nothing(transport: Transport) -> None:
    await transport.gate("emails", paused=True)
    assert await transport.gate("emails", draining=True) == PAUSED
    assert await transport.gate("emails") == PAUSED


async def test_gates_are_each_queues_own(transport: Transport) -> None:
    await transport.gate("emails", paused=True)
    assert await transport.gate("others") == OPEN


async def test_gates_stay_over_a_restart(
    shared_store: Store, transport: Transport, make_transport: MakeTransport
) -> None:
    await transport.gate("emails", paused=True)
    await transport.close()
    assert await make_transport().gate("emails") == PAUSED


async def test_a_paused_queue_starts_nothing_and_says_so(driver: Driver) -> None:
    await driver.put("d-1")
    assert not (await driver.exchange()).paused
    await driver.transport.gate(driver.queue, paused=True)
    exchanged = await driver.exchange(slots=5)
    assert (exchanged.started, exchanged.paused) == ((), True)
    assert await driver.counts() == {"PENDING": 1}


async def test_a_resumed_queue_goes_on(driver: Driver) -> None:
    await driver.put("d-1")
    await driver.transport.gate(driver.queue, paused=True)
    await driver.start()
    await driver.transport.gate(driver.queue, paused=False)
    assert ids(await driver.start()) == ["d-1"]


async def test_a_paused_queue_starts_neither_due_nor_retried_jobs(driver: Driver) -> None:
    await driver.report(await driver.put_running("retry"), ReportKind.RETRY, delay_ms=0)
    await driver.put("due", delay_ms=1)
    await driver.transport.gate(driver.queue, paused=True)
    end_ms = now_ms() + 100

    async def time_is_over() -> bool:
        assert await driver.start() == []
        return now_ms() > end_ms

    await eventually(time_is_over)
    await driver.transport.gate(driver.queue, paused=False)
    assert sorted(ids(await driver.start())) == ["due", "retry"]


async def test_a_paused_queue_does_not_restart_what_a_dead_worker_had(brief_leases: Driver) -> None:
    driver = brief_leases
    await driver.put_running("d-1")
    await driver.transport.gate(driver.queue, paused=True)
    end_ms = now_ms() + SHORT_LEASE_MS + 200

    async def time_is_over() -> bool:
        assert await driver.start(by=session("worker-2")) == []
        return now_ms() > end_ms

    await eventually(time_is_over)
    await driver.transport.gate(driver.queue, paused=False)
    assert (await driver.start_one(by=session("worker-2"))).deliveries == 2


async def test_once_pause_has_returned_nothing_new_starts(driver: Driver) -> None:
    await driver.put_all([envelope() for _ in range(500)])
    started: list[str] = []

    async def work(number: int) -> None:
        for _ in range(30):
            started.extend(ids(await driver.start(1, by=session(f"worker-{number}"))))

    workers = [asyncio.create_task(work(number)) for number in range(8)]
    await eventually(lambda: len(started) > 20)
    await driver.transport.gate(driver.queue, paused=True)
    running = (await driver.counts())["RUNNING"]
    await asyncio.gather(*workers)
    assert running == len(started) < 240
    assert (await driver.counts())["RUNNING"] == running


async def test_a_draining_queue_still_starts_jobs(driver: Driver) -> None:
    await driver.put("d-1")
    await driver.transport.gate(driver.queue, draining=True)
    assert ids(await driver.start()) == ["d-1"]


async def test_draining_outlives_what_ends(make_driver: MakeDriver) -> None:
    driver = make_driver()
    delivery = await driver.put_running("d-1")
    await driver.transport.gate(driver.queue, draining=True)
    await driver.finish(delivery)
    (answer,) = await driver.transport.enqueue(driver.queue, [envelope()])
    assert answer.storing is Storing.DRAINING
