"""What a dispatch that asks for more than memory says when it does not get it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from heracles import JobStatus, Queue, Redis, RedisTransport, TransportError
from heracles.errors import TransportUnavailableError
from heracles.queue import JobHandle
from tests.processes.app import Wait
from tests.servers import HOST, MissingServerError, Server, redis_6, redis_7
from tests.waiting import eventually

NAME = "durable"
MakeServer = Callable[..., Server]


@pytest.fixture(params=["7", "6.2"])
def make_server(request: pytest.FixtureRequest) -> Iterator[MakeServer]:
    """Starts servers of one version."""
    made: list[Server] = []

    def make(**options: str | int) -> Server:
        given = {name.replace("_", "-"): value for name, value in options.items()}
        try:
            made.append(Server(redis_7() if request.param == "7" else redis_6(), given))
        except MissingServerError as missing:
            pytest.skip(str(missing))
        return made[-1].start()

    yield make
    for server in made:
        server.stop()


@pytest.fixture
async def make_queue() -> Any:
    """Makes the queue, with that durability."""
    transports: list[RedisTransport] = []

    def make(server: Server, durability: str) -> Queue:
        Redis.register_connection(NAME, url=server.url)
        transports.append(RedisTransport(connection=NAME, durability=durability, dispatch_timeout=20_000))
        return Queue.get(NAME, transport=transports[-1])

    yield make
    Queue.remove(NAME)
    for transport in transports:
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
    with pytest.raises(TransportError, match=match) as caught:
        await queue.dispatch(Wait())
    assert not isinstance(caught.value, TransportUnavailableError)
    assert server.command("DBSIZE") == 0


async def test_a_server_that_syncs_each_write_keeps_what_it_has_acknowledged(
    make_server: MakeServer, make_queue: Any
) -> None:
    server = make_server(appendonly="yes", appendfsync="always")
    queue: Queue = make_queue(server, "fsync")
    handles = [await queue.dispatch(Wait()) for _ in range(20)]
    server.restart()
    assert [await handle.status() for handle in handles] == [JobStatus.PENDING] * 20
