"""A store that is away: calls are repeated until ``dispatch_timeout``, and nothing is stored twice."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from heracles import JobHandle, JobStatus, Queue, TransportError, TransportUnavailableError
from heracles.sqlite import SqliteTransport
from tests.queue.conftest import Hand
from tests.queue.jobs import Letter

Verb = Callable[..., Awaitable[Any]]


class Faulty:
    """A transport some of whose calls break before or after they are done."""

    def __init__(self, transport: SqliteTransport, patch: pytest.MonkeyPatch) -> None:
        self.transport = transport
        self._patch = patch
        self.calls = 0

    def break_calls(self, verb: str, outcomes: Iterator[str], error: Exception | None = None) -> None:
        """For each call one of "before", "after" (applied, reply lost), "never" (no answer) or "fine"."""
        inner: Verb = getattr(self.transport, verb)

        async def broken(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            outcome = next(outcomes, "fine")
            answer = await inner(*args, **kwargs) if outcome in ("after", "fine") else None
            if outcome == "never":
                await asyncio.Event().wait()
            if outcome != "fine":
                raise error or TransportUnavailableError("the store is away")
            return answer

        self._patch.setattr(self.transport, verb, broken)


@pytest.fixture
async def faulty(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Faulty]:
    transport = SqliteTransport(":memory:", dispatch_timeout=1500)
    yield Faulty(transport, monkeypatch)
    await transport.close()


@pytest.fixture
def away(faulty: Faulty) -> Queue:
    return Queue.get("away", transport=faulty.transport)


def always(outcome: str) -> Iterator[str]:
    while True:
        yield outcome


async def test_a_dispatch_is_repeated_until_it_is_stored(faulty: Faulty, away: Queue) -> None:
    faulty.break_calls("enqueue", iter(["before", "before", "after"]))
    handle = await away.dispatch(Letter("a"))
    assert faulty.calls == 4
    assert (await away.counts())[JobStatus.PENDING] == 1
    assert await handle.status() is JobStatus.PENDING


async def test_every_call_is_repeated(faulty: Faulty, away: Queue) -> None:
    handle = await away.dispatch(Letter("a"))
    calls: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
        ("gate", away.pause),
        ("gate", away.resume),
        ("gate", away.is_paused),
        ("find", handle.status),
        ("page", away.jobs),
        ("overview", away.counts),
        ("workers", away.workers),
        ("cancel", handle.cancel),
        ("clear", away.clear),
    ]
    for verb, call in calls:
        faulty.calls = 0
        faulty.break_calls(verb, iter(["before", "before"]))
        await call()
        assert faulty.calls >= 3


async def test_after_the_time_the_error_carries_the_handles(faulty: Faulty, away: Queue) -> None:
    faulty.break_calls("enqueue", always("before"))
    started = time.monotonic()
    with pytest.raises(TransportError, match="the store is away") as caught:
        await away.dispatch(Letter("a"), job_id="j1", dispatch_id="d1")
    assert 1.5 <= time.monotonic() - started < 5, "the store might have been back until then"
    (handle,) = caught.value.handles
    assert isinstance(handle, JobHandle)
    assert (handle.job_id, handle.dispatch_id) == ("j1", "d1")
    with pytest.raises(TransportError) as caught:
        await away.dispatch_many([Letter("a"), Letter("b")])
    assert len(caught.value.handles) == 2


async def test_each_of_several_callers_gets_the_handle_of_its_own(faulty: Faulty, away: Queue) -> None:
    faulty.break_calls("enqueue", always("before"))
    errors = await asyncio.gather(
        *(away.dispatch(Letter("a"), dispatch_id=f"d{n}") for n in range(5)), return_exceptions=True
    )
    found = []
    for error in errors:
        assert isinstance(error, TransportUnavailableError)
        found += [handle.dispatch_id for handle in error.handles if isinstance(handle, JobHandle)]
    assert found == [f"d{n}" for n in range(5)]


async def test_the_error_s_dispatch_id_makes_another_attempt_safe(faulty: Faulty, away: Queue) -> None:
    faulty.break_calls("enqueue", iter(["after"] * 100))
    with pytest.raises(TransportError):
        await away.dispatch(Letter("a"), dispatch_id="d1")
    faulty.break_calls("enqueue", iter([]))
    await Hand(away).complete_all(1, "once")


async def test_a_call_without_an_answer_is_given_up(faulty: Faulty, away: Queue) -> None:
    faulty.break_calls("enqueue", always("never"))
    started = time.monotonic()
    with pytest.raises(TransportUnavailableError, match="did not answer in time"):
        await away.dispatch(Letter("a"))
    assert 1.4 < time.monotonic() - started < 5


async def test_a_store_that_refuses_is_asked_once(faulty: Faulty, away: Queue) -> None:
    faulty.break_calls("enqueue", always("before"), TransportError("out of memory"))
    with pytest.raises(TransportError, match="out of memory") as caught:
        await away.dispatch(Letter("a"))
    assert faulty.calls == 1
    assert len(caught.value.handles) == 1


async def test_a_waiting_handle_outlives_an_outage(faulty: Faulty, away: Queue) -> None:
    handle = await away.dispatch(Letter("a"))
    waiting = asyncio.create_task(handle.result(timeout=30))
    await asyncio.sleep(0.05)
    faulty.break_calls("changes", iter(["before"] * 3))
    await Hand(away).complete_all(1, "still here")
    assert await waiting == "still here"


async def test_events_go_on_after_an_outage(faulty: Faulty, away: Queue) -> None:
    events = away.events()
    first = asyncio.create_task(anext(events))
    await asyncio.sleep(0.05)
    await away.dispatch(Letter("a"))
    await first
    faulty.break_calls("changes", iter(["before"] * 2))
    handles = await away.dispatch_many([Letter("b"), Letter("c")])
    seen = [await anext(events), await anext(events)]
    assert [event.dispatch_id for event in seen] == [handle.dispatch_id for handle in handles]
    await events.aclose()


async def test_a_store_that_cannot_be_followed_is_looked_at(
    faulty: Faulty, away: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("heracles.queue.handle.LOOK_AGAIN_S", 0.05)
    monkeypatch.setattr("heracles.queue.watcher.SUBSCRIBE_S", 0.05)
    faulty.break_calls("changes", always("before"), TransportError("no permission"))
    handle = await away.dispatch(Letter("a"))
    with caplog.at_level(logging.WARNING, logger="heracles.queue"):
        waiting = asyncio.create_task(handle.result(timeout=30))
        await Hand(away).complete_all(1, "found")
        assert await waiting == "found"
    assert "no permission" in caplog.text
