"""Arguments of every kind: refused at dispatch with a reason, or back in the worker as they were."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heracles import ArgumentsError, JobStatus, PayloadTooLargeError, Queue
from heracles.codec import CallSpec
from tests.input.conftest import Serving, refusal_of, the_next_job_runs
from tests.input.jobs import ACCEPTED, REFUSED, SEEN, noting

LIMIT = 1 << 20


async def test_what_is_accepted_arrives_as_it_was(queue: Queue, serving: Serving) -> None:
    async with serving():
        handles = [await queue.dispatch(noting(annotation), [value]) for annotation, value in ACCEPTED]
        for handle, (_, value) in zip(handles, ACCEPTED, strict=True):
            await handle.result(timeout=30)
            arrived = SEEN[handle.dispatch_id]
            assert arrived == value
            assert type(arrived) is type(value) or isinstance(value, int)


@pytest.mark.parametrize(("annotation", "make", "word"), REFUSED)
async def test_what_cannot_travel_is_refused(local: Queue, annotation: Any, make: Callable[[], Any], word: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        await local.dispatch(noting(annotation), [make()])
    message = str(caught.value)
    assert "argument 'value' cannot be sent as" in message
    assert word in message
    assert len(message) < 500
    assert sum((await local.counts()).values()) == 0


async def test_text_at_the_limit_and_over_it(queue: Queue, serving: Serving) -> None:
    # Two brackets and two quotation marks.
    largest = "x" * (LIMIT - 4)
    async with serving():
        handle = await queue.dispatch(noting(str), [largest])
        await handle.result(timeout=30)
        assert SEEN[handle.dispatch_id] == largest
        for larger in (largest + "x", "é" * (LIMIT // 2), "\x01" * (LIMIT // 6 + 1), "x" * (64 << 20)):
            with pytest.raises(PayloadTooLargeError, match=r"over max_payload_bytes=1048576"):
                await queue.dispatch(noting(str), [larger])
        await the_next_job_runs(queue)
    assert (await queue.counts())[JobStatus.PENDING] == 0


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=20)
    | st.binary(max_size=5)
    | st.decimals()
    | st.sampled_from([2**63, 2**64, -0.0, 1e308, "\ud800", "\0", "\u2028"])
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=3)
        | st.tuples(inner)
        | st.frozensets(st.integers(), max_size=2)
    ),
    max_leaves=12,
)


def _take(value: Any, *more: Any, key: Any = None, **rest: Any) -> None: ...


SPEC = CallSpec.of(_take, "take")


def _same(given: Any, arrived: Any) -> bool:
    if type(given) is not type(arrived):
        return False
    if isinstance(given, list):
        return len(given) == len(arrived) and all(map(_same, given, arrived))
    if isinstance(given, dict):
        return given.keys() == arrived.keys() and all(_same(given[key], arrived[key]) for key in given)
    if isinstance(given, float):
        return given == arrived and math.copysign(1, given) == math.copysign(1, arrived)
    return bool(given == arrived)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(args=st.lists(_values, min_size=1, max_size=3), kwargs=st.dictionaries(st.sampled_from(["key", "b"]), _values))
def test_any_values_without_an_annotation(args: list[Any], kwargs: dict[str, Any]) -> None:
    if (refusal := refusal_of(lambda: SPEC.encode(args, kwargs), ArgumentsError)) is not None:
        assert "cannot be sent as Any" in refusal
        return
    arrived_args, arrived_kwargs = SPEC.decode(*SPEC.encode(args, kwargs))
    assert _same(args, list(arrived_args))
    assert _same(kwargs, arrived_kwargs)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(args=st.binary(max_size=40) | st.text("[]{},:\"0123456789.eE-+nulltrfas\\ \n", max_size=40).map(str.encode),
       kwargs=st.binary(max_size=20))  # fmt: skip
def test_any_bytes_where_arguments_should_be(args: bytes, kwargs: bytes) -> None:
    refusal = refusal_of(lambda: SPEC.decode(args, kwargs), ArgumentsError)
    assert refusal is None or refusal.startswith("take: ")
