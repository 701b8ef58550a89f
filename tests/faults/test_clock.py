"""Worker processes whose clock is an hour off: the store's clock decides about leases, due times and retries.

On SQLite all processes are on one machine and ask its one clock: that one can only be put forward or back for all.
"""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from heracles.model import JobStatus, ReportKind, Verdict
from heracles.sqlite import SqliteTransport
from heracles.units import now_ms
from tests.conformance.driver import Driver
from tests.faults.site import LONG_LEASE_MS, FaultSite
from tests.processes.site import ROOT
from tests.waiting import eventually

HOUR_S = 3600
#: Loaded by the interpreter of the worker before anything else.
SHIFT = """
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {offset}
time.time_ns = lambda: _time_ns() + {offset} * 1_000_000_000
"""


@pytest.fixture(params=[HOUR_S, -HOUR_S], ids=["fast", "slow"])
def shifted(request: pytest.FixtureRequest, site: FaultSite, tmp_path: Path) -> FaultSite:
    """Workers that are started from now on have a clock that is an hour off."""
    folder = tmp_path / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SHIFT.format(offset=request.param))
    site.more["PYTHONPATH"] = f"{folder}:{ROOT}"
    return site


async def test_jobs_run_retry_and_keep_their_times(shifted: FaultSite) -> None:
    await shifted.serving()
    record = await shifted.until(await shifted.dispatch("TellClock"))
    told_ms = json.loads(record.result or b"0")
    assert abs(abs(told_ms - now_ms()) - HOUR_S * 1000) < 60_000, "its clock is an hour off"
    for time_ms in (record.created_at_ms, record.started_at_ms, record.completed_at_ms):
        assert time_ms is not None
        assert abs(time_ms - now_ms()) < 60_000
    assert record.status is JobStatus.COMPLETED


async def test_what_is_scheduled_starts_when_it_is_due(shifted: FaultSite) -> None:
    await shifted.serving()
    due_ms = now_ms() + 1500
    dispatch_id = await shifted.dispatch("Tick", scheduled_for_ms=due_ms)
    record = await shifted.until(dispatch_id)
    assert record.started_at_ms is not None
    assert record.started_at_ms >= due_ms
    late = await shifted.dispatch("Tick", scheduled_for_ms=now_ms() + 600_000)
    await shifted.serves()
    assert (await shifted.record(late)).status is JobStatus.PENDING


async def test_a_retry_waits_for_its_delay_by_the_stores_clock(shifted: FaultSite) -> None:
    await shifted.serving()
    dispatch_id = await shifted.dispatch("FailOnce", retry_delay_ms=1500)
    waiting = await shifted.until(dispatch_id, JobStatus.SCHEDULED_FOR_RETRY)
    assert waiting.scheduled_for_ms is not None
    assert abs(waiting.scheduled_for_ms - now_ms()) < 60_000
    record = await shifted.until(dispatch_id)
    assert record.status is JobStatus.COMPLETED
    assert record.started_at_ms is not None
    assert record.started_at_ms >= waiting.scheduled_for_ms


async def test_leases_are_kept_and_those_of_the_dead_end(shifted: FaultSite) -> None:
    first = await shifted.serving(lease_ms=LONG_LEASE_MS)
    held = await shifted.dispatch("Wait", "door")
    await shifted.begun(held)
    shifted.more.clear()
    await shifted.serving(id="right", lease_ms=LONG_LEASE_MS)
    await asyncio.sleep(1.5 * LONG_LEASE_MS / 1000)
    assert len(shifted.runs(held)) == 1, "kept by beats, whatever the clock says"
    first.signal(signal.SIGKILL)
    first.end()
    one, other = await shifted.begun(held, 2)
    assert other.stored_ms - one.stored_ms > LONG_LEASE_MS
    shifted.open("door")
    assert (await shifted.until(held)).worker == "right"


async def test_a_job_of_a_right_worker_is_not_taken_by_one_whose_clock_is_off(shifted: FaultSite) -> None:
    wrong = dict(shifted.more)
    shifted.more.clear()
    await shifted.serving(id="right", lease_ms=LONG_LEASE_MS)
    held = await shifted.dispatch("Wait", "door")
    await shifted.begun(held)
    shifted.more.update(wrong)
    worker = await shifted.serving(id="wrong", lease_ms=LONG_LEASE_MS)
    await asyncio.sleep(1.5 * LONG_LEASE_MS / 1000)
    await eventually(lambda: _serves_both(shifted, "right", "wrong"), what="both take jobs", deadline_s=30)
    shifted.open("door")
    record = await shifted.until(held)
    assert (record.worker, record.token) == ("right", 1)
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0


async def _serves_both(site: FaultSite, *ids: str) -> bool:
    # Both are listed as alive, by the store's clock.
    return {worker.id for worker in await site.transport.workers()} == set(ids)


async def test_a_machine_whose_clock_is_put_forward_runs_again_what_ran(tmp_path: Path) -> None:
    offset_ms = 0
    transport = SqliteTransport(tmp_path / "jobs.db", clock=lambda: now_ms() + offset_ms)
    driver, other = Driver(transport), Driver(transport)
    first = await driver.put_running("d-1")
    offset_ms = HOUR_S * 1000
    again = await other.start_one()
    assert again.token > first.token
    assert await driver.report(first, ReportKind.COMPLETED) is Verdict.LOST
    assert await other.report(again, ReportKind.COMPLETED) is Verdict.APPLIED
    await transport.close()


async def test_a_machine_whose_clock_is_put_back_goes_on(tmp_path: Path) -> None:
    offset_ms = 0
    transport = SqliteTransport(tmp_path / "jobs.db", clock=lambda: now_ms() + offset_ms)
    driver = Driver(transport)
    held = await driver.put_running("d-1")
    offset_ms = -HOUR_S * 1000
    assert await driver.report(held, ReportKind.COMPLETED) is Verdict.APPLIED
    later = await driver.put_running("d-2")
    assert await driver.report(later, ReportKind.COMPLETED) is Verdict.APPLIED
    await transport.close()
