"""What a dispatch, a cancel, a pause that ask for more than memory say when they do not get it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal

import pytest

from heracles import JobStatus, Queue, Redis, RedisTransport, TransportError
from heracles.errors import TransportUnavailableError
from heracles.model import CleanupRules
from heracles.queue import JobHandle
from tests.processes.app import Wait
from tests.servers import HOST, MissingServerError, Server
from tests.stores import PROGRAMS, REDIS_6, REDIS_7, VALKEY
from tests.waiting import eventually

NAME = "durable"
MakeServer = Callable[..., Server]


@pytest.fixture(params=[REDIS_7, REDIS_6, VALKEY])
def make_server(request: pytest.FixtureRequest) -> Iterator[MakeServer]:
    """Starts servers of one version."""
    made: list[Server] = []

    def make(**options: str | int) -> Server:
        given = {name.replace("_", "-"): value for name, value in options.items()}
        try:
            made.append(Server(PROGRAMS[request.param](), given))
        except MissingServerError as missing:
            pytest.skip(str(missing))
        return made[-1].start()

    yield make
    for server in made:
        server.stop()


@pytest.fixture
async def make_queue() -> Any:
    """Makes the queue, with that durability."""
    transports: dict[str, RedisTransport] = {}
    queues: list[Queue] = []

    def make(server: Server, durability: Literal["replicated", "fsync"], name: str = NAME) -> Queue:
        Redis.register_connection(NAME, url=server.url)
        if durability not in transports:
            transports[durability] = RedisTransport(connection=NAME, durability=durability, dispatch_timeout=20_000)
        queues.append(Queue.get(name, transport=transports[durability]))
        return queues[-1]

    yield make
    for queue in queues:
        Queue.remove(queue.name)
    for transport in transports.values():
        await transport.close()


def has_replica(server: Server) -> bool:
    return "online" in server.info("replication").get("slave0", "")


async def replicated(make_server: MakeServer) -> tuple[Server, Server]:
    """A master and its replica."""
    master, replica = make_server(repl_diskless_sync="yes", repl_diskless_sync_delay=0), make_server()
    replica.command("REPLICAOF", HOST, master.port)
    await eventually(lambda: has_replica(master), deadline_s=30)
    return master, replica


async def test_without_its_replica_a_dispatch_raises_with_the_handle_of_the_job_that_is_stored(
    make_server: MakeServer, make_queue: Any
) -> None:
    master, replica = await replicated(make_server)
    queue: Queue = make_queue(master, "replicated")
    assert await (await queue.dispatch(Wait())).status() is JobStatus.PENDING
    replica.kill()
    for _ in range(2):
        # The second time it is known already, and still not safe.
        with pytest.raises(TransportError, match="no replica has confirmed") as caught:
            await queue.dispatch(Wait, [], dispatch_id="dispatch-1", job_id="job-1")
        assert not isinstance(caught.value, TransportUnavailableError)
        (handle,) = caught.value.handles
        assert isinstance(handle, JobHandle)
        assert (handle.job_id, handle.dispatch_id) == ("job-1", "dispatch-1")
        assert await handle.status() is JobStatus.PENDING
    assert (await queue.counts())[JobStatus.PENDING] == 2


async def test_dispatching_again_under_the_same_id_is_confirmed_once_the_replica_is_back(
    make_server: MakeServer, make_queue: Any
) -> None:
    master, replica = await replicated(make_server)
    queue: Queue = make_queue(master, "replicated")
    replica.kill()
    with pytest.raises(TransportError) as caught:
        await queue.dispatch_many([Wait(), Wait("door")])
    stored = [handle.dispatch_id for handle in caught.value.handles if isinstance(handle, JobHandle)]
    assert len(stored) == 2
    replica.start()
    replica.command("REPLICAOF", HOST, master.port)
    await eventually(lambda: has_replica(master), deadline_s=30)
    again = [await queue.dispatch(Wait, [door], dispatch_id=id) for door, id in zip(("", "door"), stored, strict=True)]
    assert [handle.dispatch_id for handle in again] == stored
    assert (await queue.counts())[JobStatus.PENDING] == 2
    assert replica.command("XLEN", f"elysium:heracles:stream:{NAME}") == 2


CONTROL: dict[str, Callable[[Queue], Awaitable[Any]]] = {
    "pause": lambda queue: queue.pause(),
    "resume": lambda queue: queue.resume(),
    "drain": lambda queue: queue.drain(),
    "cancel_job": lambda queue: queue.cancel_job("dispatch-1"),
    "clear": lambda queue: queue.clear(),
    "cancel_all_jobs": lambda queue: queue.cancel_all_jobs(),
}


async def _shortfall(call: str, queue: Queue) -> None:
    with pytest.raises(TransportError, match="no replica has confirmed") as caught:
        await CONTROL[call](queue)
    assert not isinstance(caught.value, TransportUnavailableError)


async def test_without_its_replica_a_queue_does_what_it_is_told_and_says_that_it_is_not_confirmed(
    make_server: MakeServer, make_queue: Any
) -> None:
    master, replica = await replicated(make_server)
    queues: dict[str, Queue] = {call: make_queue(master, "replicated", f"{NAME}-{call}") for call in CONTROL}
    handles = {
        call: await queue.dispatch(Wait, [], dispatch_id="dispatch-1", job_id="job-1") for call, queue in queues.items()
    }
    replica.kill()
    for _ in range(2):
        # The second time there is nothing left to change, and it is still not safe.
        await asyncio.gather(*(_shortfall(call, queue) for call, queue in queues.items()))
    assert [call for call, queue in queues.items() if await queue.is_paused()] == ["pause"]
    assert [call for call, queue in queues.items() if await queue.is_draining()] == ["drain"]
    cancelled = [call for call, handle in handles.items() if await handle.status() is JobStatus.CANCELLED]
    assert cancelled == ["cancel_job", "clear", "cancel_all_jobs"]
    # What changes nothing needs nobody.
    assert await queues["pause"].cancel_job("nobody") is False
    replica.start()
    replica.command("REPLICAOF", HOST, master.port)
    await eventually(lambda: has_replica(master), deadline_s=30)
    await queues["drain"].cancel_all_jobs()
    await asyncio.gather(*(CONTROL[call](queue) for call, queue in queues.items()))


async def test_a_call_returns_when_the_replica_has_what_it_changed(make_server: MakeServer, make_queue: Any) -> None:
    master, replica = await replicated(make_server)
    queue: Queue = make_queue(master, "replicated")
    handles = [await queue.dispatch(Wait()) for _ in range(3)]
    status = f"elysium:heracles:status:{NAME}:{handles[0].job_id}:{handles[0].dispatch_id}"
    replica.freeze()
    cancelling = asyncio.create_task(handles[0].cancel())
    await eventually(lambda: master.command("HGET", status, "status") == b"cancelled", deadline_s=30)
    pausing = asyncio.create_task(queue.pause())
    await eventually(lambda: master.command("HGET", f"elysium:heracles:meta:{NAME}", "paused") == b"1", deadline_s=30)
    # On other connections all goes on meanwhile.
    assert await queue.is_paused()
    assert await handles[0].status() is JobStatus.CANCELLED
    await asyncio.wait([cancelling, pausing])
    for call in (cancelling, pausing):
        assert isinstance(call.exception(), TransportError)
    replica.thaw()
    assert await eventually(lambda: _acknowledged(handles[0].cancel), deadline_s=30)
    assert await queue.clear() == 2
    assert (await queue.counts())[JobStatus.CANCELLED] == 3
    assert replica.command("HGET", status, "status") == b"cancelled"


async def _acknowledged(call: Callable[[], Awaitable[Any]]) -> bool:
    try:
        await call()
    except TransportError:
        return False
    return True


async def test_cleaning_up_everything_is_done_without_its_replica_and_says_that_it_is_not_confirmed(
    make_server: MakeServer, make_queue: Any
) -> None:
    master, replica = await replicated(make_server)
    queue: Queue = make_queue(master, "replicated")
    await queue.dispatch(Wait())
    replica.kill()
    transport = RedisTransport(connection=NAME, durability="replicated")
    with pytest.raises(TransportError, match="all is removed, but no replica has confirmed"):
        await transport.cleanup(NAME, CleanupRules(retention_s=0, max_entries=0, everything=True))
    assert await queue.jobs() == []
    await transport.close()


async def test_the_sync_facade_raises_the_same(make_server: MakeServer, make_queue: Any) -> None:
    queue: Queue = make_queue(make_server(), "replicated")

    def dispatch() -> None:
        queue.sync.dispatch(Wait())

    with pytest.raises(TransportError, match="no replica has confirmed") as caught:
        await asyncio.to_thread(dispatch)
    assert len(caught.value.handles) == 1


@pytest.mark.parametrize(
    ("options", "match"),
    [({}, "writes no AOF: set appendonly yes"), ({"appendonly": "yes"}, "use 7.2 or newer, or set appendfsync always")],
    ids=["no AOF", "AOF everysec"],
)
async def test_a_server_that_cannot_sync_each_write_says_so_before_anything_is_stored(
    make_server: MakeServer, make_queue: Any, options: dict[str, str], match: str
) -> None:
    server = make_server(**options)
    queue: Queue = make_queue(server, "fsync")
    if options and can_tell_what_is_on_disk(server):
        await queue.dispatch(Wait())
        return
    with pytest.raises(TransportError, match=match) as caught:
        await queue.dispatch(Wait())
    assert not isinstance(caught.value, TransportUnavailableError)
    assert server.command("DBSIZE") == 0


def can_tell_what_is_on_disk(server: Server) -> bool:
    """Whether it knows WAITAOF; Valkey says of which Redis it is."""
    major, minor, _ = server.info("server")["redis_version"].split(".")
    return (int(major), int(minor)) >= (7, 2)


@pytest.mark.parametrize("make_server", [VALKEY], indirect=True)
async def test_what_is_not_on_disk_in_time_is_done_and_raises(make_server: MakeServer, make_queue: Any) -> None:
    server = make_server(appendonly="yes", appendfsync="no")
    queue: Queue = make_queue(server, "fsync")
    unconfirmed = "not known to be on disk in time"
    with pytest.raises(TransportError, match=f"the jobs are stored, but that is {unconfirmed}"):
        await queue.dispatch(Wait())
    with pytest.raises(TransportError, match=f"the queue is changed, but that is {unconfirmed}"):
        await queue.pause()
    assert await queue.is_paused()
    assert (await queue.counts())[JobStatus.PENDING] == 1


async def test_a_server_that_syncs_each_write_keeps_what_it_has_acknowledged(
    make_server: MakeServer, make_queue: Any
) -> None:
    server = make_server(appendonly="yes", appendfsync="always")
    queue: Queue = make_queue(server, "fsync")
    handles = [await queue.dispatch(Wait()) for _ in range(20)]
    server.restart()
    assert [await handle.status() for handle in handles] == [JobStatus.PENDING] * 20
