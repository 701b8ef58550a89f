"""Producers and worker processes while a cluster moves slots and masters fall."""

import asyncio
from pathlib import Path

import pytest

from heracles.units import now_ms
from tests.ha.clusters import fail_over, masters, move_slot, serving, taken_over, url_of
from tests.ha.sentinels import joined
from tests.ha.service import PATIENCE_S, Service
from tests.servers import Cluster

pytestmark = [pytest.mark.slow_fault, pytest.mark.timeout(600)]

#: Of queues with these names some stand on each of three masters.
QUEUES = ("alpha", "beta", "gamma", "delta")


def check_no_crossing(service: Service) -> None:
    """No command had keys of several slots."""
    for worker in service.workers:
        assert "CROSSSLOT" not in worker.log
    assert service.refused == []


async def test_a_slot_that_moves_under_load_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    async with Service(url_of(cluster), tmp_path, queues=QUEUES) as service:
        await service.begin()
        moving, *others = service.queues
        home = serving(cluster, moving.name)
        away = next(master for master in masters(cluster) if master is not home)
        for target in (away, home):
            await move_slot(cluster, moving.name, target)
            await service.goes_on(now_ms())
        await service.goes_on(now_ms(), on=others)
        await service.all_ended()
        service.end_workers()
        check_no_crossing(service)


async def test_a_queue_whose_slot_is_moving_goes_on_when_it_has_moved(cluster: Cluster, tmp_path: Path) -> None:
    """Jobs that run meanwhile are reported once, late; nothing of another queue waits for it."""
    async with Service(url_of(cluster), tmp_path, queues=QUEUES) as service:
        await service.begin()
        moving, *others = service.queues
        handles = await service.dispatch_behind_a_door(2)
        home = serving(cluster, moving.name)
        away = next(master for master in masters(cluster) if master is not home)
        await move_slot(cluster, moving.name, away)
        (tmp_path / "door").touch()
        await service.goes_on(now_ms(), on=others)
        results = await asyncio.gather(*(handle.result(timeout=PATIENCE_S) for handle in handles))
        assert results == ["door", "door"]
        assert all(len(service.runs(handle)) == 1 for handle in handles)
        await service.all_ended()
        service.end_workers()
        check_no_crossing(service)


async def test_a_failover_by_command_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    async with Service(url_of(cluster), tmp_path, queues=QUEUES) as service:
        await service.begin()
        queue = service.queues[0].name
        for _ in range(2):
            old = await fail_over(cluster, queue)
            await service.goes_on(now_ms())
            await joined(old)
        await service.all_ended()
        service.end_workers()
        check_no_crossing(service)


@pytest.mark.parametrize(("fault", "end"), [("kill", "start"), ("freeze", "thaw")])
async def test_a_master_that_falls_loses_nothing_that_its_replica_has(
    cluster: Cluster, tmp_path: Path, fault: str, end: str
) -> None:
    async with Service(url_of(cluster), tmp_path, queues=("alpha",), durability="replicated") as service:
        await service.begin()
        queue = service.queues[0]
        old = serving(cluster, queue.name)
        getattr(old, fault)()
        await taken_over(cluster, queue.name, old)
        # Its replica is the master now, and has no replica itself until the old master is back.
        await service.starts_again(queue, now_ms())
        getattr(old, end)()
        await service.goes_on(now_ms())
        await service.all_ended()
        service.end_workers()
        assert all("no replica" in str(error) for error in service.refused)
