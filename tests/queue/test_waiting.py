"""What a producer is told while its store is away, and at the end."""

import asyncio
import logging
import traceback
from collections.abc import Iterator

import pytest

from heracles import Queue, Redis, RedisTransport, SqliteTransport, TransportError, TransportUnavailableError
from heracles.queue import repeat
from heracles.transport import Transport
from tests.queue.conftest import fresh_name
from tests.queue.jobs import Letter
from tests.servers import Server, free_port, redis_7
from tests.waiting import eventually


@pytest.fixture
def server() -> Iterator[Server]:
    """A Redis of the test's own."""
    started = Server(redis_7()).start()
    yield started
    started.stop()


def queue_on(url: str, **options: int) -> Queue:
    name = fresh_name()
    Redis.register_connection(name, url=url)
    return Queue.get(name, transport=RedisTransport, transport_options={"connection": name, **options})


async def test_the_error_is_one_of_the_public_ones_without_a_chain() -> None:
    queue = queue_on(f"redis://:secret@127.0.0.1:{free_port()}", dispatch_timeout=50)
    for call in (queue.dispatch(Letter("a")), queue.dispatch_many([Letter("a")]), queue.counts(), queue.pause()):
        with pytest.raises(TransportError) as caught:
            await call
        assert type(caught.value) is TransportUnavailableError
        assert "cannot connect" in str(caught.value)
        text = "".join(traceback.format_exception(caught.value))
        assert text.count("Traceback") == 1
        assert "LostError" not in text
        assert "secret" not in text


async def test_an_outage_is_told_once_and_its_end(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queue_on(server.url, dispatch_timeout=60_000)
    await queue.dispatch(Letter("before"))
    server.kill()
    monkeypatch.setattr(repeat, "TELL_AFTER_S", 0.05)
    with caplog.at_level(logging.INFO, logger="heracles.queue"):
        waiting = [asyncio.create_task(queue.dispatch(Letter("a"))), asyncio.create_task(queue.counts())]
        await eventually(lambda: bool(caplog.messages))
        assert f"{server.port}" in caplog.messages[0]
        assert "up to 60 s (dispatch_timeout)" in caplog.messages[0]
        server.restart()
        await asyncio.gather(*waiting)
    levels = [record.levelno for record in caplog.records if record.name == "heracles.queue"]
    assert levels == [logging.WARNING, logging.INFO]
    await queue.transport.close()


async def test_one_that_hangs_is_told_too(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeat, "TELL_AFTER_S", 0.05)
    queue = queue_on(server.url, dispatch_timeout=60_000)
    await queue.counts()
    server.freeze()
    waiting = asyncio.create_task(queue.counts())
    await eventually(lambda: "does not answer" in caplog.text)
    server.thaw()
    await waiting
    await queue.transport.close()


async def test_a_call_that_hangs_is_ended_and_its_task_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeat, "SHORTEST_ATTEMPT_S", 0.05)
    monkeypatch.setattr(repeat, "LOOK_AFTER_S", 0.01)
    store = SqliteTransport(":memory:", dispatch_timeout=0)

    async def hang(_: Transport) -> None:
        await asyncio.Event().wait()

    repeater = repeat.Repeater(lambda: store)
    with pytest.raises(TransportUnavailableError, match="did not answer in time"):
        await repeater.call(hang)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    cancelled = asyncio.create_task(repeater.call(hang))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_a_call_that_may_not_wait_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    queue = queue_on(f"redis://127.0.0.1:{free_port()}", dispatch_timeout=0)
    with pytest.raises(TransportUnavailableError):
        await queue.counts()
    assert not caplog.messages
