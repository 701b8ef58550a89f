"""How soon a heartbeat that failed is tried again."""

import pytest

from heracles.model import Session
from heracles.worker.health import StoreHealth
from heracles.worker.heartbeat import Heartbeat
from heracles.worker.held import HeldJob, HeldJobs, Stop
from tests.worker.deliveries import held_job
from tests.worker.faults import FaultyTransport
from tests.worker.site import Site

LEASE_S = 6.0
#: A heartbeat may become due at the moment when an outage of half a lease begins, and the lease counts as lost a tenth
#: of it early: what is left for the next attempt, but for the time that the call takes.
LEFT_S = LEASE_S * (0.9 - 1 / 2 - 1 / 3)
#: More attempts than it takes until the pauses grow no further.
MANY = 10


@pytest.fixture
def faulty(site: Site) -> FaultyTransport:
    return site.faulty(lease=round(LEASE_S * 1000))


def _heartbeat(faulty: FaultyTransport, held: HeldJobs) -> Heartbeat:
    return Heartbeat(faulty, Session(worker_id="w", consumer="w-1"), held, StoreHealth("the store"), _stop_nothing)


def _stop_nothing(job: HeldJob, why: Stop) -> None:
    raise AssertionError(f"{job} is stopped: {why}")


def _one_held() -> HeldJobs:
    held = HeldJobs()
    held.add(held_job())
    return held


async def test_while_jobs_are_held_a_store_that_is_away_is_asked_so_often_that_their_leases_hold(
    faulty: FaultyTransport,
) -> None:
    faulty.is_away = True
    heartbeat = _heartbeat(faulty, _one_held())
    pauses = [await heartbeat.attempt() for _ in range(MANY)]
    assert max(pauses) < LEFT_S
    # And not in a hot loop, however long it lasts.
    assert min(pauses[MANY // 2 :]) > LEFT_S / 4


async def test_a_store_that_refuses_is_asked_with_calm(faulty: FaultyTransport) -> None:
    faulty.refusal = "no"
    heartbeat = _heartbeat(faulty, _one_held())
    pauses = [await heartbeat.attempt() for _ in range(MANY)]
    assert min(pauses[MANY // 2 :]) > LEFT_S


async def test_a_worker_that_holds_nothing_asks_a_store_that_is_away_with_calm(faulty: FaultyTransport) -> None:
    faulty.is_away = True
    heartbeat = _heartbeat(faulty, HeldJobs())
    pauses = [await heartbeat.attempt() for _ in range(MANY)]
    assert min(pauses[MANY // 2 :]) > LEFT_S
