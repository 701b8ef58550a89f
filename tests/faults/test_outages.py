"""Outages of a second, of ten, of two minutes: workers and producers go on within five seconds of the store's return.

Meanwhile they neither hurry nor chatter, and nothing that was acknowledged is lost.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # no stubs are installed
import pytest

from heracles import JobStatus, Queue, TransportError
from heracles.redis import RedisTransport
from heracles.units import now_ms
from tests.cli.process import Running
from tests.faults.app import Tick
from tests.faults.network import CountingProxy
from tests.faults.site import SOON_ENOUGH_S, SOON_S, FaultSite, Steady, steadily, told
from tests.processes.site import QUEUE
from tests.servers import Server
from tests.waiting import eventually

SLOW = [pytest.mark.slow_fault, pytest.mark.timeout(420)]
#: Connections a second that a worker and a producer may try to open together during an outage. A loop without a pause
#: opens thousands.
MOST_ATTEMPTS = 20
#: Of a processor, during an outage; a loop without a pause takes all of one.
MOST_CPU = 0.35
Break = Callable[[Server, CountingProxy], object]
#: How the store goes away, and how it comes back.
WAYS: dict[str, tuple[Break, Break]] = {
    "killed": (lambda server, _: server.kill(), lambda server, _: server.start()),
    "frozen": (lambda server, _: server.freeze(), lambda server, _: server.thaw()),
    "cut off": (lambda _, proxy: proxy.cut(), lambda _, proxy: proxy.restore()),
    "half open": (lambda _, proxy: proxy.half_open(), lambda _, proxy: proxy.restore()),
}


#: How the store goes away, and for how many seconds.
OUTAGES = [
    *((way, 1) for way in WAYS),
    ("killed", 10),
    ("half open", 10),
    *(pytest.param(way, 10, marks=SLOW) for way in ("frozen", "cut off")),
    *(pytest.param(way, 120, marks=SLOW) for way in ("killed", "half open")),
]


@pytest.mark.parametrize(("way", "outage_s"), OUTAGES)
async def test_service_goes_on_after_an_outage(
    site: FaultSite, server: Server, proxy: CountingProxy, proxied: str, way: str, outage_s: int
) -> None:
    lose, bring_back = WAYS[way]
    worker = await site.serving(f"--url={proxy.url}")
    transport = RedisTransport(connection=proxied, key_prefix=site.prefix, lease=1000)
    async with steadily(transport) as steady:
        await site.begun("steady-1")
        lose(server, proxy)
        await _sits_out(worker, proxy, outage_s)
        bring_back(server, proxy)
        back_ms = now_ms()
        soon_s = SOON_S if outage_s > 10 else SOON_ENOUGH_S
        await eventually(lambda: steady.since(back_ms) >= 3, what="dispatches", deadline_s=soon_s)
        await eventually(lambda: _started_since(site, back_ms), what="starts", deadline_s=soon_s)
    await _nothing_is_lost(site, steady)
    if outage_s > 5:
        # A shorter one may pass unnoticed by calls that merely had to wait.
        await eventually(lambda: _has_told(worker), what="one line when lost, one when back")
    await transport.close()


async def _sits_out(worker: Running, proxy: CountingProxy, outage_s: float) -> None:
    process = psutil.Process(worker.process.pid)
    before, attempts, lines = sum(process.cpu_times()[:2]), proxy.attempts, len(worker.log.splitlines())
    await asyncio.sleep(outage_s)
    assert proxy.attempts - attempts < 20 + MOST_ATTEMPTS * outage_s
    assert sum(process.cpu_times()[:2]) - before < 1 + MOST_CPU * outage_s
    assert len(worker.log.splitlines()) - lines <= 10


def _has_told(worker: Running) -> bool:
    lost, back = told(worker)
    # A call may be out of time just when the store comes back: then it is lost and back again.
    return lost == back and lost in (1, 2)


def _started_since(site: FaultSite, at_ms: int) -> bool:
    return any(start.stored_ms >= at_ms for start in site.starts())


async def _nothing_is_lost(site: FaultSite, steady: Steady) -> None:
    for dispatch_id in steady.acknowledged:
        record = await site.until(dispatch_id)
        assert (record.status, record.retries) == (JobStatus.COMPLETED, 0)
        assert len(site.runs(dispatch_id)) >= 1


@pytest.mark.parametrize("outage_s", [1, 10, pytest.param(120, marks=SLOW)])
async def test_service_goes_on_after_another_program_held_the_file(
    file_site: FaultSite, tmp_path: Path, outage_s: int
) -> None:
    worker = await file_site.serving()
    process = psutil.Process(worker.process.pid)
    async with steadily(file_site.transport) as steady:
        await file_site.begun("steady-1")
        other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None, timeout=30)
        other.execute("BEGIN IMMEDIATE")
        before, lines = sum(process.cpu_times()[:2]), len(worker.log.splitlines())
        await asyncio.sleep(outage_s)
        other.execute("COMMIT")
        back_ms = now_ms()
        assert sum(process.cpu_times()[:2]) - before < 1 + MOST_CPU * outage_s
        assert len(worker.log.splitlines()) - lines <= 10
        soon_s = SOON_S if outage_s > 10 else SOON_ENOUGH_S
        await eventually(lambda: steady.since(back_ms) >= 3, what="dispatches", deadline_s=soon_s)
        await eventually(lambda: _started_since(file_site, back_ms), what="starts", deadline_s=soon_s)
    other.close()
    await _nothing_is_lost(file_site, steady)


@pytest.mark.parametrize("way", WAYS)
async def test_a_dispatch_during_an_outage_waits_and_then_names_its_jobs(
    site: FaultSite, server: Server, proxy: CountingProxy, proxied: str, way: str
) -> None:
    lose, bring_back = WAYS[way]
    transport = RedisTransport(connection=proxied, key_prefix=site.prefix, dispatch_timeout=1500)
    queue = Queue.get(QUEUE, transport=transport)
    await queue.dispatch(Tick(), dispatch_id="before")
    lose(server, proxy)
    began_ms = now_ms()
    with pytest.raises(TransportError) as caught:
        await queue.dispatch(Tick(), dispatch_id="during")
    # It repeats with pauses, and does not begin another attempt that it could not end.
    assert 400 < now_ms() - began_ms < 20_000
    [handle] = caught.value.handles
    bring_back(server, proxy)
    again = await queue.dispatch(Tick(), dispatch_id="during")
    assert again == handle
    assert (await queue.counts())[JobStatus.PENDING] == 2
    Queue.remove(QUEUE)
    await transport.close()


async def test_a_dispatch_during_an_outage_is_stored_when_the_store_is_back_in_time(
    site: FaultSite, server: Server, proxied: str
) -> None:
    transport = RedisTransport(connection=proxied, key_prefix=site.prefix, dispatch_timeout=60_000)
    queue = Queue.get(QUEUE, transport=transport)
    server.kill()
    dispatching = asyncio.create_task(queue.dispatch(Tick(), dispatch_id="during"))
    await asyncio.sleep(1)
    assert not dispatching.done()
    server.start()
    async with asyncio.timeout(SOON_ENOUGH_S):
        await dispatching
    assert (await queue.counts())[JobStatus.PENDING] == 1
    Queue.remove(QUEUE)
    await transport.close()
