"""When the store is away every verb says so in time, and repeating it is harmless; through a network that breaks."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from heracles.errors import TransportUnavailableError
from heracles.model import CleanupRules, JobStatus, ReportKind, Storing, Verdict
from heracles.redis import Redis, RedisTransport
from tests.conformance.driver import Driver, envelope, ids, report_on
from tests.proxy import Proxy
from tests.stores import SINGLE_REDIS, RedisStore, Store

# What a proxy in front of one server can break; a file has no network.
pytestmark = pytest.mark.stores(*SINGLE_REDIS)
IMPATIENT: dict[str, Any] = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
#: Far above the time-outs: a verb may try again, and the machine may be busy.
BOUND_S = 10

Verb = Callable[[Driver], Coroutine[Any, Any, object]]
VERBS: dict[str, Verb] = {
    "open": lambda driver: driver.transport.open(),
    "enqueue": lambda driver: driver.transport.enqueue(driver.queue, [envelope()]),
    "exchange": lambda driver: driver.exchange(slots=1),
    "recover": lambda driver: driver.transport.recover(driver.queue, driver.session, []),
    "beat": lambda driver: driver.beat(),
    "retire": lambda driver: driver.transport.retire(driver.session, [driver.queue]),
    "maintain": lambda driver: driver.transport.maintain(driver.queue),
    "gate": lambda driver: driver.transport.gate(driver.queue),
    "cancel": lambda driver: driver.cancel("d-9"),
    "clear": lambda driver: driver.transport.clear(driver.queue),
    "cleanup": lambda driver: driver.transport.cleanup(driver.queue, CleanupRules()),
    "find": lambda driver: driver.transport.find(driver.queue, "d-9"),
    "page": lambda driver: driver.transport.page(driver.queue, None, 10),
    "overview": lambda driver: driver.transport.overview(driver.queue),
    "changes": lambda driver: driver.transport.changes(driver.queue, None, 0),
    "queues": lambda driver: driver.transport.queues(),
    "workers": lambda driver: driver.transport.workers(),
}


@pytest.fixture
def proxy(store: Store) -> Iterator[Proxy]:
    assert isinstance(store, RedisStore)
    with Proxy(store.servers[0].port) as started:
        yield started


@pytest.fixture
async def far(store: Store, proxy: Proxy) -> AsyncIterator[Driver]:
    """A queue behind the network that breaks."""
    assert isinstance(store, RedisStore)
    name = f"far_{proxy.port}"
    Redis.register_connection(name, url=proxy.url, **IMPATIENT)
    transport = RedisTransport(connection=name, key_prefix=store.prefix)
    yield Driver(transport)
    proxy.restore()
    await transport.cleanup("emails", CleanupRules(everything=True))
    await transport.close()


def _break(proxy: Proxy, how: str) -> None:
    {"cut": proxy.cut, "half open": proxy.half_open, "replies lost": proxy.lose_replies}[how]()


@pytest.mark.parametrize("how", ["cut", "half open", "replies lost"])
async def test_every_verb_is_bounded_in_time_and_says_unavailable(far: Driver, proxy: Proxy, how: str) -> None:
    await far.put("d-1")
    _break(proxy, how)
    before = time.monotonic()
    answers = await asyncio.gather(*(verb(far) for verb in VERBS.values()), return_exceptions=True)
    assert time.monotonic() - before < BOUND_S
    wrong = {
        name: answer
        for name, answer in zip(VERBS, answers, strict=True)
        if not isinstance(answer, TransportUnavailableError)
    }
    assert wrong == {}
    proxy.restore()
    for verb in VERBS.values():
        await verb(far)


async def test_a_dispatch_whose_answer_was_lost_is_stored_once(far: Driver, proxy: Proxy) -> None:
    made = await far.put("d-1")
    other = envelope()
    proxy.lose_replies()
    with pytest.raises(TransportUnavailableError):
        await far.transport.enqueue(far.queue, [made, other])
    proxy.restore()
    answers = await far.transport.enqueue(far.queue, [made, other])
    assert [answer.storing for answer in answers] == [Storing.EXISTING] * 2
    assert await far.counts() == {"PENDING": 2}


async def test_many_dispatches_whose_answers_were_lost_are_stored_once_and_in_order(far: Driver, proxy: Proxy) -> None:
    made = [envelope() for _ in range(700)]
    await far.transport.enqueue(far.queue, made[:1])
    proxy.lose_replies()
    with pytest.raises(TransportUnavailableError):
        await far.transport.enqueue(far.queue, made)
    proxy.restore()
    answers = await far.transport.enqueue(far.queue, made)
    assert [answer.dispatch_id for answer in answers] == [each.dispatch_id for each in made]
    assert answers[0].storing is Storing.EXISTING
    assert await far.counts() == {"PENDING": 700}
    started = [delivery for _ in range(3) for delivery in await far.start(250)]
    assert ids(started) == [each.dispatch_id for each in made]


async def test_a_start_whose_answer_was_lost_is_recovered(far: Driver, proxy: Proxy) -> None:
    await far.put("d-1")
    proxy.lose_replies()
    with pytest.raises(TransportUnavailableError):
        await far.start(1)
    proxy.restore()
    (recovered,) = await far.transport.recover(far.queue, far.session, [])
    assert ids([recovered]) == ["d-1"]
    await far.finish(recovered)


@pytest.mark.parametrize("kind", [kind for kind in ReportKind if kind is not ReportKind.RELEASED])
async def test_a_report_whose_answer_was_lost_is_applied_once(far: Driver, proxy: Proxy, kind: ReportKind) -> None:
    delivery = await far.put_running("d-1")
    report = report_on(delivery, kind, delay_ms=3_600_000, error="Boom: x")
    proxy.lose_replies()
    with pytest.raises(TransportUnavailableError):
        await far.exchange([report])
    proxy.restore()
    before = await far.find("d-1")
    assert before.status is not JobStatus.RUNNING
    assert (await far.exchange([report])).verdicts == (Verdict.APPLIED,)
    assert await far.find("d-1") == before


async def test_a_cancel_whose_answer_was_lost_is_true_when_repeated(far: Driver, proxy: Proxy) -> None:
    await far.put("d-1")
    proxy.lose_replies()
    with pytest.raises(TransportUnavailableError):
        await far.cancel("d-1")
    proxy.restore()
    assert await far.cancel("d-1") == [True]
