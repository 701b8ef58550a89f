"""Sentinels that disagree: one is cut off together with an old master, and goes on naming that one."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest

from heracles import JobStatus, Queue, Redis, RedisTransport, TransportError
from heracles.redis.connections import Endpoint
from heracles.redis.sentinels import Sentinels as Asked
from heracles.redis.servers import LONGEST_UNCHECKED_S, SentinelServer
from heracles.redis.wire import LostError
from tests.ha.service import PATIENCE_S
from tests.processes.app import Wait
from tests.servers import HOST, MissingServerError, Sentinels, Server, redis_7
from tests.waiting import eventually

NAME = "parted"
MASTER = Sentinels.NAME
#: Time-outs for Sentinels that do not answer: longer than any test may take.
FOR_EVER = {"socket_timeout": 600, "socket_connect_timeout": 600}


class Parted(NamedTuple):
    """Two servers that live, and three Sentinels, of which the first goes on naming the old one."""

    old: Server
    new: Server
    sentinels: list[Server]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [(HOST, sentinel.port) for sentinel in self.sentinels]

    def part(self) -> None:
        """All but the first name the new one from now on."""
        for sentinel in self.sentinels[1:]:
            sentinel.command("SENTINEL", "REMOVE", MASTER)
            sentinel.command("SENTINEL", "MONITOR", MASTER, HOST, self.new.port, 2)

    def asked(self, options: dict[str, int]) -> Asked:
        endpoint = Endpoint(options, nodes=self.addresses, master=MASTER)
        return Asked(self.addresses, endpoint.access, "here", MASTER)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine one that lives may need more than the usual half second."""
    monkeypatch.setattr("heracles.redis.sentinels.PATIENCE_S", 2.0)


@pytest.fixture
def parted() -> Iterator[Parted]:
    servers: list[Server] = []
    try:
        for _ in range(2):
            servers.append(Server(redis_7()).start())
        for _ in range(3):
            sentinel = Server(redis_7(), arguments=["--sentinel"])
            servers.append(sentinel)
            sentinel.options = {f"sentinel monitor {MASTER} {HOST} {servers[0].port}": 2}
            sentinel.start()
        yield Parted(servers[0], servers[1], servers[2:])
    except MissingServerError as missing:
        pytest.skip(str(missing))
    finally:
        for server in servers:
            server.stop()


@pytest.fixture
async def queue(parted: Parted) -> AsyncIterator[Queue]:
    Redis.register_connection(NAME, sentinel={"sentinels": parted.addresses, "name": MASTER}, socket_timeout=2)
    transport = RedisTransport(connection=NAME)
    yield Queue.get(NAME, transport=transport)
    Queue.remove(NAME)
    await transport.close()
    # A socket is closed at the next turn of the event loop.
    await asyncio.sleep(0)


async def lands_on(server: Server, queue: Queue) -> bool:
    """Whether a job that is dispatched now is on that server."""
    try:
        handle = await queue.dispatch(Wait())
    except TransportError:
        return False
    return bool(server.command("EXISTS", f"elysium:heracles:status:{NAME}:{handle.job_id}:{handle.dispatch_id}"))


class Connections:
    """How many others than this have connected to a server since then."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._looks = 0
        self._before = self._received()

    def count(self) -> int:
        self._looks += 1
        return self._received() - self._before - self._looks

    def _received(self) -> int:
        return int(self._server.info("stats")["total_connections_received"])


async def test_the_majority_is_followed_and_not_the_first_that_answers(parted: Parted, queue: Queue) -> None:
    assert await lands_on(parted.old, queue)
    parted.part()
    await eventually(lambda: lands_on(parted.new, queue), deadline_s=PATIENCE_S)
    written = parted.old.command("DBSIZE")
    first, _, last = parted.sentinels
    # Now as many name the one as the other, and the third does not answer: it stays where it is.
    last.freeze()
    asked = Connections(first)

    async def is_asked_again() -> bool:
        assert await lands_on(parted.new, queue)
        return asked.count() >= 3

    await eventually(is_asked_again, deadline_s=PATIENCE_S, interval_s=0.1)
    last.thaw()
    last.kill()
    assert await lands_on(parted.new, queue)
    assert parted.old.command("DBSIZE") == written
    counts = await queue.counts()
    assert counts[JobStatus.PENDING] == parted.new.command("XLEN", f"elysium:heracles:stream:{NAME}")


@pytest.mark.parametrize("frozen", range(3))
async def test_one_that_hangs_is_not_waited_for(parted: Parted, frozen: int) -> None:
    parted.sentinels[frozen].freeze()
    async with asyncio.timeout(PATIENCE_S):
        assert await parted.asked(FOR_EVER).find_master(None) == (HOST, parted.old.port)


async def test_without_a_majority_those_that_answer_decide(parted: Parted) -> None:
    parted.part()
    old, new = ((HOST, server.port) for server in (parted.old, parted.new))
    asked = parted.asked(FOR_EVER)
    for _ in range(3):
        assert await asked.find_master(old) == new
    parted.sentinels[1].freeze()
    async with asyncio.timeout(PATIENCE_S):
        for current in (old, new):
            assert await asked.find_master(current) == current
        assert await asked.find_master(None) in (old, new)
        parted.sentinels[0].kill()
        assert await asked.find_master(old) == new
        parted.sentinels[2].kill()
    parted.sentinels[1].kill()
    with pytest.raises(LostError, match="no Sentinel names a master"):
        await asked.find_master(old)


async def test_what_a_later_failover_has_decided_counts(parted: Parted) -> None:
    """The others may not have heard of it yet."""
    first, other = Server(redis_7(), arguments=["--sentinel"]), parted.sentinels[1]
    monitor = f"sentinel monitor {MASTER} {HOST} {parted.new.port}"
    first.options = {monitor: 2, f"sentinel config-epoch {MASTER}": 7}
    try:
        told = Parted(parted.old, parted.new, [parted.sentinels[0], other, first.start()])
        other.freeze()
        found = {await told.asked(FOR_EVER).find_master((HOST, parted.old.port)) for _ in range(3)}
    finally:
        first.stop()
    assert found == {(HOST, parted.new.port)}


async def test_who_was_frozen_hears_of_a_failover_before_it_calls(parted: Parted, queue: Queue) -> None:
    assert await lands_on(parted.old, queue)
    servers = (await Redis.connection(NAME).opened(queue)).servers
    assert isinstance(servers, SentinelServer)
    # As with a call that waits for its answer: the first to happen afterwards is a check that is due, not a call.
    servers._under_way += 1
    await servers.call("", ("PING",))
    parted.part()
    time.sleep(LONGEST_UNCHECKED_S + 0.5)  # noqa: ASYNC251 - the event loop is to stand still
    for _ in range(2):
        await asyncio.sleep(0)
    await servers.call("", ("SET", "after", "1"))
    assert (parted.old.command("EXISTS", "after"), parted.new.command("EXISTS", "after")) == (0, 1)
    servers._under_way -= 1


async def test_a_name_that_no_sentinel_knows_is_said(parted: Parted) -> None:
    endpoint = Endpoint({}, nodes=parted.addresses, master="other")
    with pytest.raises(LostError, match="knows no master 'other'"):
        await Asked(parted.addresses, endpoint.access, "here", "other").find_master(None)
