"""Producers and worker processes through the failovers of a master that sentinels watch."""

from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from heracles import JobNotFoundError, JobStatus
from heracles.units import now_ms
from tests.ha.sentinels import (
    cut_replicas_off,
    joined,
    let_replicas_in,
    order_failover,
    replication_of,
    role_of,
    switch_as_planned,
    switched,
    url_of,
)
from tests.ha.service import PATIENCE_S, Service, is_idle
from tests.servers import Sentinels, Server
from tests.waiting import eventually

pytestmark = [pytest.mark.slow_fault, pytest.mark.timeout(600)]

#: Within this, once another server is master, nobody writes to the old one or waits on it.
LEFT_WITHIN_S = 10.0


async def test_a_killed_master_loses_nothing_that_a_replica_has(watched: Sentinels, tmp_path: Path) -> None:
    async with Service(url_of(watched), tmp_path, durability="replicated") as service:
        await service.begin()
        old = watched.master
        old.kill()
        await switched(watched, old)
        await service.goes_on(now_ms())
        # The old one comes back with nothing, as a master, until the sentinels tell it what it is now.
        old.start()
        await joined(old)
        await service.goes_on(now_ms())
        # And takes over again.
        second = watched.master
        second.kill()
        await switched(watched, second)
        await service.goes_on(now_ms())
        await service.all_ended()
        service.end_workers()


async def test_a_planned_switch_loses_nothing(watched: Sentinels, tmp_path: Path) -> None:
    async with Service(url_of(watched), tmp_path) as service:
        await service.begin()
        old = watched.master
        await switch_as_planned(watched)
        await service.goes_on(now_ms())
        await joined(old)
        await switch_as_planned(watched)
        await service.goes_on(now_ms())
        assert service.refused == []
        await service.all_ended()
        service.end_workers()


async def test_a_frozen_master_that_wakes_up_as_a_replica_changes_nothing(watched: Sentinels, tmp_path: Path) -> None:
    async with Service(url_of(watched), tmp_path, durability="replicated") as service:
        await service.begin()
        old = watched.master
        old.freeze()
        await switched(watched, old)
        await service.goes_on(now_ms())
        # Until the other replica follows the new master, what the old one wakes up with could still be confirmed.
        await eventually(lambda: replication_of(watched.master).get("connected_slaves") == "1", deadline_s=PATIENCE_S)
        old.thaw()
        await joined(old)
        await service.goes_on(now_ms())
        await service.all_ended()
        service.end_workers()


@pytest.mark.parametrize("durability", ["memory", "replicated"])
async def test_everybody_leaves_an_old_master_that_still_serves(
    undemotable: Sentinels, tmp_path: Path, durability: str
) -> None:
    async with Service(url_of(undemotable), tmp_path, durability=durability) as service:
        await service.begin()
        service.follow_changes()
        old = undemotable.master
        before_ms = now_ms()
        order_failover(undemotable)
        await switched(undemotable, old)
        await eventually(lambda: not clients_of(old), what="nobody is on the old master", deadline_s=LEFT_WITHIN_S)
        assert role_of(old) == "master"
        left_ms = now_ms()
        changes = ("HGET", f"{service.prefix}:meta:{service.queues[0].name}", "seq")
        written = old.command(*changes)
        await service.goes_on(left_ms)
        assert old.command(*changes) == written
        assert not clients_of(old)
        await eventually(lambda: service.has_heard(left_ms), what="changes are heard of", deadline_s=PATIENCE_S)
        # What the old one alone had acknowledged is gone; nothing else is.
        await service.all_ended(lost_between_ms=(before_ms - 1000, left_ms))
        service.end_workers()


def clients_of(server: Server) -> list[str]:
    """Connections that wait or have written, other than those of sentinels, replicas and this test."""
    lines = server.command("CLIENT", "LIST").decode().splitlines()
    return [
        line for line in lines if "name=sentinel" not in line and "flags=S" not in line and "cmd=client" not in line
    ]


async def test_what_ran_when_its_store_fell_back_is_not_stuck(watched: Sentinels, tmp_path: Path) -> None:
    """The new master knows of starts whose ends it has missed, and of jobs whose starts it has missed."""
    async with Service(url_of(watched), tmp_path) as service:
        await service.begin()
        started = await service.dispatch_behind_a_door(4)
        await service.stop_producing()
        await cut_replicas_off(watched)
        old = watched.master
        before_ms = now_ms()
        # Ends, starts and dispatches that only the old master sees.
        (tmp_path / "door").touch()
        await eventually(partial(service.are, started, JobStatus.COMPLETED), deadline_s=PATIENCE_S)
        service.resume_producing()
        await service.goes_on(now_ms())
        old.kill()
        await switched(watched, old)
        await let_replicas_in(watched)
        await service.goes_on(now_ms())
        await service.all_ended(lost_between_ms=(before_ms - 1000, now_ms()))
        await eventually(partial(service.are, started, JobStatus.COMPLETED), deadline_s=PATIENCE_S)
        assert await is_idle(service.queues[0])
        service.end_workers()


async def test_a_job_that_no_worker_remembers_runs_again_after_its_lease(watched: Sentinels, tmp_path: Path) -> None:
    """A start that only the store remembers, since its worker fell with the old master."""
    async with Service(url_of(watched), tmp_path) as service:
        await service.begin(workers=1)
        (started,) = await service.dispatch_behind_a_door(1)
        old = watched.master
        old.kill()
        service.workers.pop().process.kill()
        await switched(watched, old)
        service.workers.append(service.worker("worker-2"))
        (tmp_path / "door").touch()
        with suppress(JobNotFoundError):
            # Nothing promised that a replica has its dispatch; where one has, it runs again.
            await eventually(partial(service.are, [started], JobStatus.COMPLETED), deadline_s=PATIENCE_S)
        await service.goes_on(now_ms())
        await service.stop_producing()
        await eventually(lambda: is_idle(service.queues[0]), deadline_s=PATIENCE_S)
        service.end_workers()
