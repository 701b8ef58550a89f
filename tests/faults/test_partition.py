"""One worker of two is cut off from a Redis that the other one reaches, or reaches it slowly."""

import asyncio

import pytest

from heracles.model import JobStatus
from tests.faults.network import CountingProxy
from tests.faults.site import LONG_LEASE_MS, FaultSite

#: Each way, each chunk: 200 ms a call.
SLOW_MS = 100
#: A heartbeat is several calls.
SLOW_LEASE_MS = 10_000
#: The heartbeat after a third of it would be answered too late if it waited for the time-out of its connection.
SILENT_LEASE_MS = 7000


@pytest.mark.parametrize("way", ["cut", "half_open", "lose_replies"])
async def test_what_a_cut_off_worker_had_runs_elsewhere_and_it_changes_nothing_later(
    site: FaultSite, proxy: CountingProxy, way: str
) -> None:
    cut_off = await site.serving(f"--url={proxy.url}", "--concurrency=2", lease_ms=LONG_LEASE_MS)
    held = [await site.dispatch(name, "door") for name in ("Wait", "SayToken")]
    for dispatch_id in held:
        await site.begun(dispatch_id)
    getattr(proxy, way)()
    # It stops its jobs by itself, before their leases end.
    cut_off.await_line(f"Wait {held[0]} is stopped: its lease could not be renewed")
    other = await site.serving("--concurrency=2", id="worker-2", lease_ms=LONG_LEASE_MS)
    for dispatch_id in held:
        one, again = await site.begun(dispatch_id, 2)
        assert again.stored_ms - one.stored_ms >= LONG_LEASE_MS
        assert again.worker == str(other.process.pid)
    proxy.restore()
    site.open("door")
    for dispatch_id in held:
        record = await site.until(dispatch_id)
        assert (record.status, record.retries, record.worker) == (JobStatus.COMPLETED, 0, "worker-2")
        assert len(site.runs(dispatch_id)) == 2
    other.process.terminate()
    assert other.end() == 0
    await site.serves()


@pytest.mark.timeout(180)
async def test_a_slow_network_costs_time_and_nothing_else(site: FaultSite, proxy: CountingProxy) -> None:
    proxy.delay(SLOW_MS)
    for id in ("worker-1", "worker-2"):
        await site.serving(f"--url={proxy.url}", "--concurrency=4", id=id, lease_ms=SLOW_LEASE_MS)
    ids = [await site.dispatch("Nap", 0.2, job_id=f"same-{i % 3}", no_overlap=True) for i in range(6)]
    ids += [await site.dispatch("Nap", 1.2 * SLOW_LEASE_MS / 1000) for _ in range(4)]
    ids += [await site.dispatch("Tick") for _ in range(30)]
    for dispatch_id in ids:
        record = await site.until(dispatch_id)
        assert (record.status, record.token, record.retries) == (JobStatus.COMPLETED, 1, 0)
        assert len(site.runs(dispatch_id)) == 1
    for key in range(3):
        one, other = sorted(
            (run.at_ms, end.at_ms)
            for dispatch_id in ids[key:6:3]
            for run, end in zip(site.runs(dispatch_id), site.ends(dispatch_id), strict=True)
        )
        assert one[1] <= other[0], "they do not overlap"


async def test_connections_that_die_without_a_word_cost_no_lease(site: FaultSite, proxy: CountingProxy) -> None:
    """A heartbeat gives its connection up long before the time-out of five seconds, as the store is there."""
    await site.serving(f"--url={proxy.url}", lease_ms=SILENT_LEASE_MS)
    held = await site.dispatch("Wait", "door")
    await site.begun(held)
    await site.serving(id="worker-2", lease_ms=SILENT_LEASE_MS)
    proxy.silence()
    await asyncio.sleep(1.5 * SILENT_LEASE_MS / 1000)
    site.open("door")
    record = await site.until(held)
    assert (record.status, record.worker, record.token) == (JobStatus.COMPLETED, "worker-1", 1)


async def test_a_partition_shorter_than_the_lease_runs_nothing_twice(site: FaultSite, proxy: CountingProxy) -> None:
    await site.serving(f"--url={proxy.url}", lease_ms=10_000)
    held = await site.dispatch("Wait", "door")
    await site.begun(held)
    await site.serving(id="worker-2", lease_ms=10_000)
    proxy.cut()
    await asyncio.sleep(1)
    proxy.restore()
    site.open("door")
    record = await site.until(held)
    assert (record.status, record.worker, record.token) == (JobStatus.COMPLETED, "worker-1", 1)
