"""What stands in Redis is removed, replaced or refused under a worker process: it serves again within five seconds.

Meanwhile it neither hurries nor chatters. Each tampering by itself, at the level of the transport, is in
``tests/redis/test_tampering.py``.
"""

import asyncio
from collections.abc import Sequence

import pytest

from heracles import Queue, TransportError
from heracles.model import JobStatus
from heracles.redis import RedisTransport
from heracles.units import now_ms
from tests.cli.process import Running
from tests.faults.app import Tick
from tests.faults.site import FaultSite, steadily
from tests.processes.site import QUEUE
from tests.servers import Server

#: Of Redis, a second, while one worker finds what it cannot use; a loop without a pause makes thousands.
MOST_COMMANDS = 300
TAMPERINGS: dict[str, Sequence[str]] = {
    "all flushed": ["FLUSHALL"],
    "scripts flushed": ["SCRIPT FLUSH"],
    "clients killed": ["CLIENT KILL TYPE normal SKIPME yes", "CLIENT KILL TYPE pubsub"],
    "stream deleted": ["DEL {P}:stream:jobs"],
    "group destroyed": ["XGROUP DESTROY {P}:stream:jobs workers"],
    "status deleted": ["DEL {P}:status:jobs:held:held-1"],
    "lock deleted": ["DEL {P}:lock:jobs:held"],
    "leases deleted": ["DEL {P}:leases:jobs"],
    "entry deleted": ["XTRIM {P}:stream:jobs MAXLEN 0"],
    "meta deleted": ["DEL {P}:meta:jobs"],
    "workers deleted": ["DEL {P}:workers {P}:queues {P}:worker:worker-1"],
}


async def _holding(site: FaultSite) -> Running:
    worker = await site.serving("--concurrency=2")
    await site.dispatch("Wait", "door", job_id="held", dispatch_id="held-1", no_overlap=True)
    await site.begun("held-1")
    return worker


@pytest.mark.parametrize("how", TAMPERINGS)
async def test_service_goes_on_after_tampering(site: FaultSite, server: Server, how: str) -> None:
    worker = await _holding(site)
    lines = len(worker.log.splitlines())
    for command in TAMPERINGS[how]:
        server.command(*command.format(P=site.prefix).split())
    await site.serves()
    await _is_calm(server)
    site.open("door")
    await site.serves()
    assert len(worker.log.splitlines()) - lines <= 10
    assert not await site.transport.page(QUEUE, JobStatus.RUNNING, 10), "nothing stays behind that says it runs"


@pytest.mark.parametrize("key", ["meta", "leases", "stream", "scheduled", "wake"])
async def test_a_key_of_the_wrong_type_is_told_once_and_asked_again_without_haste(
    site: FaultSite, server: Server, key: str
) -> None:
    worker = await site.serving()
    await site.serves()
    lines = len(worker.log.splitlines())
    name = f"{site.prefix}:{key}:jobs"
    server.command("DEL", name)
    server.command("SADD", name, "of somebody else")
    await _is_calm(server)
    # A worker that waits for a wake-up looks by itself too, and then finds it.
    await asyncio.sleep(1.5)
    said = worker.log.splitlines()[lines:]
    assert len(said) <= 4, said
    server.command("DEL", name)
    await site.serves()


async def _is_calm(server: Server) -> None:
    before = int(server.info("stats")["total_commands_processed"])
    await asyncio.sleep(1.5)
    assert int(server.info("stats")["total_commands_processed"]) - before < 1.5 * MOST_COMMANDS


async def test_an_idle_worker_waits_for_no_answer_for_ever(site: FaultSite, server: Server) -> None:
    await site.serving()
    seconds = await asyncio.to_thread(_longest_wait, server)
    assert 0 < seconds < 5


def _longest_wait(server: Server) -> float:
    """For how many seconds at most the next blocking command is to wait."""
    with server.client() as client, client.monitor() as monitor:  # type: ignore[no-untyped-call]  # redis-py has none
        while True:
            heard = monitor.next_command()
            assert heard is not None
            words = heard["command"].split()
            assert "BLOCK" not in words, "nothing waits on a stream"
            if words[0] == "BLPOP":
                return float(words[-1])


@pytest.mark.parametrize(
    "server",
    [{"appendonly": "yes", "appendfsync": each} for each in ("always", "everysec")],
    indirect=True,
    ids=["always", "everysec"],
)
async def test_a_server_killed_again_and_again_loses_nothing_acknowledged(
    site: FaultSite, server: Server, proxied: str
) -> None:
    workers = [await site.serving("--concurrency=2", id=f"worker-{number}") for number in range(2)]
    transport = RedisTransport(connection=proxied, key_prefix=site.prefix, lease=1000)
    async with steadily(transport) as steady:
        back_ms = 0
        for _ in range(3):
            server.restart()
            back_ms = now_ms()
            await asyncio.sleep(0.8)
        await asyncio.wait_for(_more(steady.acknowledged, 3), 30)
        assert steady.since(back_ms)
    for dispatch_id in steady.acknowledged:
        record = await site.until(dispatch_id)
        assert (record.status, record.retries) == (JobStatus.COMPLETED, 0)
    counts = (await site.transport.overview(QUEUE)).counts
    assert {status for status, count in counts.items() if count} == {JobStatus.COMPLETED}
    for worker in workers:
        worker.process.terminate()
        assert worker.end() == 0
    await transport.close()


async def _more(acknowledged: dict[str, int], count: int) -> None:
    before = len(acknowledged)
    while len(acknowledged) < before + count:  # noqa: ASYNC110 - another task adds them
        await asyncio.sleep(0.01)


async def test_a_full_memory_refuses_dispatches_and_lets_running_jobs_end(site: FaultSite, server: Server) -> None:
    worker = await _holding(site)
    queue = Queue.get(QUEUE, transport=site.transport)
    server.command("CONFIG", "SET", "maxmemory", "1mb")
    with pytest.raises(TransportError, match="memory") as caught:
        await queue.dispatch(Tick())
    assert len(caught.value.handles) == 1
    site.open("door")
    assert (await site.until("held-1")).status is JobStatus.COMPLETED
    await _is_calm(server)
    server.command("CONFIG", "SET", "maxmemory", "0")
    await site.serves()
    Queue.remove(QUEUE)
    worker.process.terminate()
    assert worker.end() == 0
