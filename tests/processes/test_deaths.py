"""Worker processes that are killed, frozen, or take themselves down."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from heracles.model import JobStatus
from heracles.units import now_ms
from tests import history
from tests.processes.site import LEASE_MS, ProcessSite
from tests.waiting import eventually


@pytest.mark.parametrize("name", ["Wait", "WaitInThread", "BlockLoop"])
async def test_what_a_killed_worker_had_runs_again_after_its_lease(site: ProcessSite, name: str) -> None:
    first = site.worker()
    dispatch_id = await site.dispatch(name, "door")
    await site.begun(dispatch_id)
    first.signal(signal.SIGKILL)
    first.end()
    # Under its old id: it may start again at once.
    site.worker()
    site.open("door")
    record = await site.until(dispatch_id)
    assert (record.status, record.retries) == (JobStatus.COMPLETED, 0)
    one, other = site.runs(dispatch_id)
    assert other.token > one.token
    assert other.stored_ms - one.stored_ms >= LEASE_MS


async def test_a_freeze_shorter_than_the_lease_runs_nothing_twice(site: ProcessSite) -> None:
    frozen = site.worker()
    dispatch_id = await site.dispatch("Wait", "door")
    await site.begun(dispatch_id)
    site.worker(id="worker-2").await_line("pid")
    frozen.signal(signal.SIGSTOP)
    await asyncio.sleep(LEASE_MS / 1000 * 0.4)
    frozen.signal(signal.SIGCONT)
    await asyncio.sleep(LEASE_MS / 1000 * 1.5)
    site.open("door")
    assert (await site.until(dispatch_id)).worker == "worker-1"
    assert len(site.runs(dispatch_id)) == 1


@pytest.mark.parametrize("name", ["Wait", "WaitInThread"])
async def test_a_worker_frozen_longer_than_its_lease_changes_nothing_when_it_comes_back(
    site: ProcessSite, name: str
) -> None:
    frozen = site.worker()
    dispatch_id = await site.dispatch(name, "door")
    await site.begun(dispatch_id)
    frozen.signal(signal.SIGSTOP)
    site.worker(id="worker-2")
    await site.begun(dispatch_id, 2)
    frozen.signal(signal.SIGCONT)
    if name == "Wait":
        await eventually(lambda: _stopped(site, dispatch_id), what="the first run is stopped")
    site.open("door")
    record = await site.until(dispatch_id)
    assert (record.status, record.worker, record.retries) == (JobStatus.COMPLETED, "worker-2", 0)
    assert (await site.until(await site.dispatch("Wait"))).status is JobStatus.COMPLETED
    frozen.signal(signal.SIGTERM)
    assert frozen.end() == 0


def _stopped(site: ProcessSite, dispatch_id: str) -> bool:
    events = history.read(site.history)
    return any(isinstance(event, history.Ended) and event.outcome == "stopped" for event in events)


async def test_a_job_that_takes_its_workers_down_fails_and_the_others_run(site: ProcessSite) -> None:
    poison = await site.dispatch("Die")
    site.worker("--processes=2", "--concurrency=2")
    innocent = [await site.dispatch("Wait") for _ in range(5)]
    for dispatch_id in innocent:
        assert (await site.until(dispatch_id)).status is JobStatus.COMPLETED
    record = await eventually(lambda: _failed(site, poison), deadline_s=90, interval_s=0.2)
    assert record.retries == 0


async def _failed(site: ProcessSite, dispatch_id: str) -> Any:
    record = await site.record(dispatch_id)
    return record if record.status is JobStatus.FAILED else None


async def test_the_history_of_killed_and_frozen_workers_is_flawless(site: ProcessSite) -> None:
    workers = [site.worker("--concurrency=3", id=f"worker-{i}") for i in range(3)]
    for worker in workers:
        worker.await_line("pid")
    ids = []
    for i in range(60):
        sent_ms = now_ms()
        exclusive = i % 3 == 0
        fields = {"job_id": f"same-{i % 2}", "no_overlap": True} if exclusive else {}
        dispatch_id = await site.dispatch("Wait" if i % 2 else "WaitInThread", **fields)
        ids.append(dispatch_id)
        record = await site.record(dispatch_id)
        history.append(
            site.history,
            history.Dispatched(
                queue="jobs", job_id=record.job_id, dispatch_id=dispatch_id, sent_ms=sent_ms,
                acknowledged_ms=now_ms(), no_overlap=exclusive,
            ),
        )  # fmt: skip
        if i == 20:
            _disturb(site, workers[0].process.pid, "killed", now_ms())
            workers[0].signal(signal.SIGKILL)
        if i == 30:
            froze_ms = now_ms()
            workers[1].signal(signal.SIGSTOP)
            await asyncio.sleep(1.5 * LEASE_MS / 1000)
            workers[1].signal(signal.SIGCONT)
            _disturb(site, workers[1].process.pid, "frozen", froze_ms, now_ms())
            if site.is_one_file:
                # It may have been frozen in the middle of a transaction, with the lock of the file.
                _disturb(site, workers[2].process.pid, "without a store", froze_ms, now_ms())
    for dispatch_id in ids:
        record = await site.until(dispatch_id)
        history.append(
            site.history,
            history.Finished(dispatch_id=dispatch_id, status=record.status, token=record.token, retries=record.retries),
        )
    assert history.check(history.read(site.history), lease_ms=LEASE_MS) == []


def _disturb(site: ProcessSite, pid: int, how: str, from_ms: int, until_ms: int | None = None) -> None:
    history.append(site.history, history.Disturbed(worker=str(pid), how=how, from_ms=from_ms, until_ms=until_ms))


async def test_a_child_of_a_pool_that_is_killed_is_started_again(site: ProcessSite) -> None:
    pool = site.worker("--processes=2")
    ids = [await site.dispatch("Wait", "door"), await site.dispatch("Wait", "door")]
    pids = {int((await site.begun(dispatch_id))[0].worker) for dispatch_id in ids}
    assert len(pids) == 2
    assert pool.process.pid not in pids
    os.kill(min(pids), signal.SIGKILL)
    site.open("door")
    for dispatch_id in ids:
        assert (await site.until(dispatch_id)).status is JobStatus.COMPLETED
    await eventually(lambda: _live(site, 2), what="two live workers", deadline_s=20, interval_s=0.05)
    assert "SIGKILL" in pool.log
    pool.signal(signal.SIGTERM)
    assert pool.end() == 0


async def _live(site: ProcessSite, count: int) -> bool:
    names = [worker.id for worker in await site.transport.workers()]
    return sorted(set(names)) == [f"worker-1.{number}" for number in range(1, count + 1)]


async def test_a_signal_to_a_whole_pool_counts_once(site: ProcessSite) -> None:
    pool = site.worker("--processes=2")
    dispatch_id = await site.dispatch("Wait", "door")
    await site.begun(dispatch_id)
    os.killpg(pool.process.pid, signal.SIGINT)
    await asyncio.sleep(0.5)
    assert pool.process.poll() is None
    site.open("door")
    assert pool.end() == 0
    assert (await site.record(dispatch_id)).status is JobStatus.COMPLETED


async def test_a_second_signal_to_a_pool_reaches_its_workers(site: ProcessSite) -> None:
    pool = site.worker("--processes=2")
    dispatch_id = await site.dispatch("BlockLoop", "door")
    await site.begun(dispatch_id)
    pool.signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    pool.signal(signal.SIGTERM)
    assert pool.end() == 0
    assert (await site.record(dispatch_id)).status is JobStatus.PENDING


async def test_workers_whose_supervisor_was_killed_finish_and_end(site: ProcessSite) -> None:
    pool = site.worker("--processes=2")
    dispatch_id = await site.dispatch("Wait", "door")
    [run] = await site.begun(dispatch_id)
    pool.signal(signal.SIGKILL)
    pool.end()
    site.open("door")
    assert (await site.until(dispatch_id)).status is JobStatus.COMPLETED
    await eventually(lambda: not _exists(int(run.worker)), deadline_s=20)


def _exists(pid: int) -> bool:
    """Whether it runs; one that nobody waits for is a zombie for ever in some containers."""
    try:
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return sys.platform != "linux"
