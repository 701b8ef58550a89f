"""A million jobs wait and a hundred thousand are scheduled: a dispatch costs what it did, and no script stops Redis."""

import asyncio
import json
import statistics
import time
from collections.abc import Sequence

import pytest

from heracles.model import Envelope, JobStatus
from heracles.units import new_id
from tests.faults.site import FaultSite
from tests.processes.site import QUEUE
from tests.servers import Server
from tests.waiting import eventually

pytestmark = [pytest.mark.slow_fault, pytest.mark.timeout(900)]
WAITING, SCHEDULED = 1_000_000, 100_000
LATER_MS = 7 * 86_400_000
BATCH = 250
#: Of Redis, a queued job with an argument of 100 bytes.
MOST_BYTES = 500
ARGUMENT = json.dumps(["a" * 96]).encode()
#: Microseconds that a script may take, or so many times what it took on an empty queue of the same, busy machine.
MOST_US = 5000
TIMES = 4
#: Milliseconds that a dispatch may take more than so many times what it took on an empty queue.
MORE_MS = 2.0


def _envelopes(count: int, *, delay_ms: int | None = None) -> Sequence[Envelope]:
    numbers = [new_id() for _ in range(count)]
    return [
        Envelope(job_id=f"job_{id}", dispatch_id=f"dispatch_{id}", name="Idle", args=ARGUMENT, delay_ms=delay_ms)
        for id in numbers
    ]


async def _store(site: FaultSite, count: int, delay_ms: int | None = None) -> None:
    for _ in range(0, count, BATCH * 4):
        await asyncio.gather(*(site.transport.enqueue(QUEUE, _envelopes(BATCH, delay_ms=delay_ms)) for _ in range(4)))


async def _dispatch_ms(site: FaultSite) -> float:
    """The middle one of 300."""
    took = []
    for _ in range(300):
        began = time.perf_counter()
        await site.transport.enqueue(QUEUE, _envelopes(1))
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


@pytest.mark.parametrize("server", [{"appendonly": "no"}], indirect=True, ids=["memory"])
async def test_a_million_jobs(site: FaultSite, server: Server) -> None:
    server.command("CONFIG", "SET", "slowlog-max-len", 20_000)
    server.command("CONFIG", "SET", "slowlog-log-slower-than", 0)
    await _store(site, 20 * BATCH)
    before_us = _script_us(server)
    before_ms = await _dispatch_ms(site)
    server.command("CONFIG", "SET", "slowlog-log-slower-than", -1)
    used = int(server.info("memory")["used_memory"])
    await _store(site, WAITING)
    assert (int(server.info("memory")["used_memory"]) - used) / WAITING < MOST_BYTES
    await _store(site, SCHEDULED, LATER_MS)
    server.command("SLOWLOG", "RESET")
    server.command("CONFIG", "SET", "slowlog-log-slower-than", 0)
    assert await _dispatch_ms(site) < TIMES * before_ms + MORE_MS

    # It does not know the class, so that it gives back what it takes.
    worker = await site.serving("--concurrency=10")
    assert (await site.transport.overview(QUEUE)).counts[JobStatus.PENDING] > WAITING
    await site.transport.page(QUEUE, JobStatus.PENDING, 100)
    await site.transport.maintain(QUEUE)
    urgent = await site.dispatch("Tick", priority=0)
    await eventually(lambda: _has_ended(site, urgent), what="an urgent job overtakes", deadline_s=30)
    assert _script_us(server) < max(MOST_US, TIMES * before_us)

    server.command("CONFIG", "SET", "slowlog-log-slower-than", -1)
    worker.process.terminate()
    assert worker.end() == 0
    cleared = await site.transport.clear(QUEUE)
    assert cleared >= WAITING + SCHEDULED
    counts = (await site.transport.overview(QUEUE)).counts
    assert (counts[JobStatus.PENDING], counts[JobStatus.CANCELLED]) == (0, cleared)


async def _has_ended(site: FaultSite, dispatch_id: str) -> bool:
    return (await site.record(dispatch_id)).status.is_final


def _script_us(server: Server) -> int:
    """What nearly all scripts since the last reset stayed below: the slowest say more of a busy machine."""
    took = sorted(entry[2] for entry in server.command("SLOWLOG", "GET", 20_000) if entry[3][0] == b"EVALSHA")
    return int(took[len(took) * 99 // 100])
