"""What a failover leaves of an acknowledged cancel and of an acknowledged pause."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from heracles import JobStatus, Queue, Redis, RedisTransport, TransportError
from tests.ha.sentinels import switched, url_of
from tests.ha.service import PATIENCE_S
from tests.processes.app import Wait
from tests.servers import Sentinels
from tests.waiting import eventually

pytestmark = [pytest.mark.slow_fault, pytest.mark.timeout(600)]

NAME = "kept"


@pytest.fixture
async def queue(watched: Sentinels) -> AsyncIterator[Queue]:
    Redis.register_connection(NAME, url=url_of(watched))
    transport = RedisTransport(connection=NAME, durability="replicated", dispatch_timeout=30_000)
    yield Queue.get(NAME, transport=transport)
    Queue.remove(NAME)
    await transport.close()


async def _answer(call: Callable[[], Awaitable[Any]]) -> tuple[Any] | None:
    """None where it was not confirmed."""
    try:
        return (await call(),)
    except TransportError:
        return None


async def _confirmed(call: Callable[[], Awaitable[Any]]) -> Any:
    """The answer; asks again where it was not confirmed."""
    found = await eventually(partial(_answer, call), what="it is confirmed", deadline_s=PATIENCE_S)
    assert found is not None
    return found[0]


async def test_what_is_acknowledged_while_replicas_lag_is_known_to_the_next_master(
    watched: Sentinels, queue: Queue
) -> None:
    one, *others = [await queue.dispatch(Wait()) for _ in range(5)]
    old = watched.master
    replicas = [server for server in watched.servers if server is not old]
    for replica in replicas:
        replica.freeze()
    # Nothing is acknowledged that they do not have; what was not acknowledged in time is asked for again.
    cancelling, pausing = (asyncio.create_task(_confirmed(call)) for call in (one.cancel, queue.pause))
    meta = f"elysium:heracles:meta:{NAME}"
    await eventually(lambda: old.command("HGET", meta, "paused") == b"1", deadline_s=PATIENCE_S)
    await eventually(lambda: old.command("HGET", meta, "cancelled") == b"1", deadline_s=PATIENCE_S)
    for replica in replicas:
        replica.thaw()
    assert await cancelling is True
    await pausing
    cleared = await _confirmed(queue.clear)
    old.kill()
    await switched(watched, old)
    assert await queue.is_paused()
    assert await one.status() is JobStatus.CANCELLED
    assert [await handle.status() for handle in others] == [JobStatus.CANCELLED] * 4
    assert cleared in (0, 4)
