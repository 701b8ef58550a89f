"""Values of options: each is taken, or refused by name with what is allowed."""

import asyncio
import datetime as dt
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heracles import (
    ArgumentsError,
    Job,
    JobOverlapBehavior,
    OptionError,
    Queue,
    RedisTransport,
    ResultTimeoutError,
    SqliteTransport,
    job,
)
from heracles.options import OPTIONS, Scope, options_of
from tests.input.conftest import refusal_of
from tests.input.jobs import NoRepr, double

ODD: list[Any] = [
    "", "x", " ", "\0", "\ud800", b"x", True, False, -1, 0, 1, 1.5, -0.0, 1e308, float("nan"), float("inf"),
    2**63, 10**5000, [], {}, (), set(), object(), NoRepr(), int, dt.timedelta(-1), dt.timedelta.max,
    dt.datetime.now(dt.UTC), JobOverlapBehavior.NO_OVERLAP, Exception("x"), "x" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_every_odd_value_of_every_option(option: Any) -> None:
    for value in ODD:
        refusal = refusal_of(partial(option.check, value), OptionError)
        if refusal is None:
            assert isinstance(option.check(value), str | int)
        else:
            assert refusal.startswith(f"{option.name}=")
            assert "is not allowed: give " in refusal
            assert len(refusal) < 500


async def test_odd_values_at_dispatch_store_nothing(local: Queue) -> None:
    known = [option.name for option in options_of(Scope.DISPATCH)]
    for name in (*known, "scheduled_for", "job_id", "dispatch_id"):
        odd: list[Any] = [NoRepr(), 10**5000, [], float("nan")]
        for value in odd:
            options: dict[str, Any] = {name: value}
            with pytest.raises(OptionError, match=name):
                await local.dispatch(double, [1], **options)
    mistakes: list[dict[str, Any]] = [{"args": 10**5000}, {"args": NoRepr()}, {"kwargs": NoRepr()}]
    for mistake in mistakes:
        with pytest.raises(ArgumentsError, match="is not allowed: give a"):
            await local.dispatch(double, **mistake)
    limits: list[Any] = [10**5000, NoRepr()]
    for limit in limits:
        with pytest.raises(OptionError, match="limit="):
            await local.jobs(limit=limit)
    assert sum((await local.counts()).values()) == 0


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(OPTIONS)),
    value=st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3) | st.timedeltas(),
)
def test_any_value_of_any_option(name: str, value: object) -> None:
    refusal = refusal_of(lambda: OPTIONS[name].check(value), OptionError)
    assert refusal is None or refusal.startswith(f"{name}=")


def _refusal(call: Any, **options: Any) -> str:
    with pytest.raises(OptionError) as caught:
        call(**options)
    return str(caught.value)


async def test_an_unknown_option_names_all_choices_and_the_nearest(local: Queue) -> None:
    with pytest.raises(OptionError) as caught:
        await local.dispatch(double, [1], shceduled_for=None)  # type: ignore[call-overload]
    message = str(caught.value)
    assert "dispatch has no option 'shceduled_for': did you mean scheduled_for?" in message
    for name in ("job_id", "dispatch_id", "kwargs", "delay", "priority", "status_ttl"):
        assert name in message
    message = _refusal(Job.register, retries=3)
    assert "did you mean max_retries?" in message
    assert "name, overlap_behavior, overlap_delay, priority, queue, retry_delay" in message
    assert "did you mean queue?" in _refusal(job, queu="x")
    assert "did you mean max_stream_size?" in _refusal(RedisTransport, max_stream_sise=3)
    assert "path" in _refusal(SqliteTransport, zzz=1)


FAR: Mapping[str, dt.datetime] = {
    "the last moment": dt.datetime.max.replace(tzinfo=dt.UTC),
    "west of the last": dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-12))),
    "east of the first": dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=14))),
    "the last day": dt.datetime(9999, 12, 31, tzinfo=dt.UTC),
}


@pytest.mark.parametrize("when", FAR.values(), ids=FAR)
async def test_a_date_that_cannot_be_kept_is_refused(local: Queue, when: dt.datetime) -> None:
    with pytest.raises(OptionError, match="give a date up to 9999-12-30 UTC"):
        await local.dispatch(double, [1], scheduled_for=when)
    assert await local.jobs() == []


async def test_the_last_date_and_dates_long_past_are_kept(queue: Queue) -> None:
    last = dt.datetime(9999, 12, 30, 23, 59, 59, 999_000, dt.UTC)
    for when in (last, dt.datetime(1969, 7, 20, tzinfo=dt.UTC), dt.datetime.min.replace(tzinfo=dt.UTC)):
        handle = await queue.dispatch(double, [1], scheduled_for=when)
        assert (await handle.info()).scheduled_for == when
        assert await handle.cancel()
    assert len(await queue.jobs()) == 3


async def test_no_overlap_without_ids_is_told_once(local: Queue, caplog: pytest.LogCaptureFixture) -> None:
    @Job.register(overlap_behavior=JobOverlapBehavior.NO_OVERLAP)
    class WithoutIds(Job):
        def execute(self) -> None: ...

    @Job.register(overlap_behavior=JobOverlapBehavior.NO_OVERLAP)
    class WithIds(Job):
        @classmethod
        def generate_job_id(cls) -> str:
            return "the-one"

        def execute(self) -> None: ...

    with caplog.at_level(logging.WARNING, logger="heracles.queue"):
        await local.dispatch(WithoutIds(), job_id="given")
        await local.dispatch(WithIds())
        assert not caplog.messages
        await local.dispatch(WithoutIds())
        await local.dispatch_many([WithoutIds(), WithoutIds()])
    (message,) = caplog.messages
    assert "WithoutIds is NO_OVERLAP" in message
    assert "generate_job_id" in message


async def test_waiting_times(local: Queue) -> None:
    handle = await local.dispatch(double, [1])
    odd: list[Any] = ["5", "soon", True, float("nan"), 10**5000, -(10**5000), [], b"1", NoRepr(), object()]
    for value in odd:
        for call in (handle.result(timeout=value), local.drain(timeout=value)):
            with pytest.raises(OptionError, match=r"timeout=.* is not allowed: give seconds"):
                await call
    assert not await local.is_draining()
    for nothing in (0, -1, 0.0, dt.timedelta(0), dt.timedelta.min):
        with pytest.raises(ResultTimeoutError):
            await handle.result(timeout=nothing)
    for endless in (None, float("inf"), dt.timedelta.max):
        waiting = asyncio.create_task(handle.result(timeout=endless))
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
