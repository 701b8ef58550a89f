"""What arrives in a worker is what was given at dispatch, in value and in type."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heracles.codec import CallSpec
from heracles.errors import ArgumentsError
from tests.job.stubborn import Explodes, NoRepr
from tests.job.values import TRAVELS, Cat, Color, Hidden, Level, Node, Pair, Point, Point3, Word, whole


def spec_of(annotation: Any) -> CallSpec:
    def call(value: Any) -> None: ...

    call.__annotations__["value"] = annotation
    return CallSpec.of(call, "call")


def there_and_back(annotation: Any, value: Any) -> Any:
    spec = spec_of(annotation)
    (arrived,), named = spec.decode(*spec.encode([value], {}))
    assert named == {}
    return arrived


def anatomy(value: Any) -> Any:
    """A value with all its types, for values whose == looks at less."""
    if is_dataclass(value):
        return type(value), {f.name: anatomy(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return type(value), {(type(k), k): anatomy(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [anatomy(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value), {(type(item), item) for item in value}
    if isinstance(value, dt.datetime):
        return type(value), value.isoformat()
    return type(value), value


@pytest.mark.parametrize(("annotation", "values"), TRAVELS, ids=[str(annotation) for annotation, _ in TRAVELS])
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_type_comes_back_as_it_was(annotation: Any, values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    value = data.draw(values)
    try:
        arrived = there_and_back(annotation, value)
    except ArgumentsError:
        # The one limit on these values: JSON written by Python has at most 4300 digits.
        assert len(repr(value)) > 4000
        return
    assert anatomy(arrived) == anatomy(value)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    annotation=st.sampled_from([annotation for annotation, _ in TRAVELS]),
    value=st.sampled_from(TRAVELS).flatmap(lambda pair: pair[1]),
)
def test_any_value_is_refused_or_comes_back_equal(annotation: Any, value: Any) -> None:
    try:
        arrived = there_and_back(annotation, value)
    except ArgumentsError:
        return
    assert arrived == value or anatomy(arrived) == anatomy(value)


def test_a_float_takes_an_int() -> None:
    arrived = there_and_back(float, 3)
    assert (arrived, type(arrived)) == (3.0, float)


def test_a_subclass_of_a_plain_type_comes_back_as_the_type_that_is_annotated() -> None:
    assert type(there_and_back(str, Word.YES)) is str
    assert type(there_and_back(int, Level.HIGH)) is int
    assert type(there_and_back(tuple[int, bytes], Pair(1, b"x"))) is tuple


def test_a_tuple_fits_an_abstract_sequence() -> None:
    assert there_and_back(Sequence[int], (1, 2)) == [1, 2]


def test_bytes_take_what_holds_bytes() -> None:
    assert there_and_back(bytes, bytearray(b"ab")) == b"ab"
    assert there_and_back(bytes, memoryview(b"ab")) == b"ab"


@pytest.mark.parametrize(
    "annotation", [object, dict[str, object], dict[str, list[object]] | None, Mapping[str, object]]
)
def test_object_takes_what_any_takes(annotation: Any) -> None:
    value = {"a": [1, 2.5, "x", None, True, {"b": []}]}
    assert anatomy(there_and_back(annotation, value)) == anatomy(value)


def test_an_ambiguous_time_keeps_its_offset() -> None:
    second = dt.datetime(2024, 11, 3, 1, 30, tzinfo=ZoneInfo("America/New_York"), fold=1)
    assert there_and_back(dt.datetime, second).isoformat() == second.isoformat()


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "1"),
        (int, 1.0),
        (int, True),
        (int, None),
        (str, 1),
        (str, b"x"),
        (bool, 1),
        (float, "1.5"),
        (float, 2**60 + 1),
        (float, float("nan")),
        (float, float("inf")),
        (float | None, float("nan")),
        (bytes, "YWI="),
        (dt.datetime, "2024-01-01T00:00:00"),
        (dt.date, dt.datetime(2024, 1, 1)),
        (dt.datetime, dt.datetime(1880, 1, 1, tzinfo=ZoneInfo("Europe/Amsterdam"))),
        (dt.time, dt.time(1, 2, tzinfo=ZoneInfo("Europe/Amsterdam"))),
        (Color, "red"),
        (Level, 1),
        (list[int], (1, 2)),
        (list[int], [1, "2"]),
        (set[int], [1]),
        (set[Level], {1}),
        (tuple[int, ...], [1]),
        (Pair, (1, b"x")),
        (dict[str, int], {1: 1}),
        (dict[int, int], {"1": 1}),
        (Point, {"x": 1, "label": ""}),
        (Point, Point3(1, "", 2)),
        (Cat, {"type": "Cat", "lives": 1}),
        (Any, (1, 2)),
        (Any, {1: 2}),
        (Any, {"a": (1,)}),
        (Any, Word.YES),
        (Any, Level.LOW),
        (Any, b"x"),
        (Any, {1, 2}),
        (Any, dt.datetime(2024, 1, 1)),
        (Any, Point(1)),
        (Any, float("nan")),
        (Any, [float("-inf")]),
        (Any, 1j),
        (Any, object()),
        (dict[str, Any], {"a": Level.LOW}),
        (dict[str, object], {"a": Level.LOW}),
        (dict[str, object], {"a": {1}}),
        (object | None, (1, 2)),
        (list, [(1,)]),
        (str, "\ud800"),
        (Any, {"\udfff": 1}),
        (int, 10**5000),
        (Any, 10**1_000_000),
    ],
    ids=lambda value: type(value).__name__ if type(value) in (int, str, object) else f"{value!r:.40}",
)
def test_what_would_not_come_back_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(ArgumentsError, match="'value'"):
        spec_of(annotation).encode([value], {})


def test_a_field_that_equality_does_not_look_at_comes_back() -> None:
    assert there_and_back(Hidden, Hidden(1, "kept")).noted == "kept"


def nested(depth: int, step: Callable[[Any], Any], core: Any) -> Any:
    for _ in range(depth):
        core = step(core)
    return core


@pytest.mark.parametrize("depth", [129, 500, 990, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    for value in (nested(depth, lambda inner: [inner], 1), nested(depth, lambda inner: {"a": inner}, 1)):
        with pytest.raises(ArgumentsError, match="nested"):
            spec_of(Any).encode([value], {})
    with pytest.raises(ArgumentsError, match="nested"):
        spec_of(Node).encode([nested(depth, lambda inner: Node(1, inner), Node(0))], {})


def test_nesting_up_to_the_limit_comes_back() -> None:
    value = nested(100, lambda inner: [{"a": inner}] if len(str(inner)) % 2 else [inner], 1)
    assert there_and_back(Any, value) == value


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ArgumentsError, match="contains itself"):
        spec_of(Any).encode([loop], {})


def test_nul_and_every_character_come_back() -> None:
    value = "".join(chr(code) for code in range(0x300)) + "\u2028\U0001f600"
    assert there_and_back(str, value) == value
    assert there_and_back(Any, {value: [value]}) == {value: [value]}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(args=st.binary(max_size=60) | st.text(max_size=60).map(str.encode), kwargs=st.binary(max_size=30))
def test_foreign_bytes_never_raise_anything_else(args: bytes, kwargs: bytes) -> None:
    spec = spec_of(int)
    try:
        positions, named = spec.decode(args, kwargs)
    except ArgumentsError:
        return
    assert [type(value) for value in [*positions, *named.values()]] == [int]


@pytest.mark.parametrize(
    ("args", "kwargs", "names"),
    [
        (b'["1"]', b"", "'value'"),
        (b"[1.5]", b"", "'value'"),
        (b"[]", b"", "'value'"),
        (b"[1, 2]", b"", "too many"),
        (b"[]", b'{"value": "x"}', "'value'"),
        (b"[1]", b'{"value": 2}', "'value'"),
        (b"[1]", b'{"other": 2}', "'other'"),
        (b"{}", b"", "args is no JSON array"),
        (b"", b"", "args is no JSON array"),
        (b"[1", b"", "args is no JSON array"),
        (b"\xff", b"", "args is no JSON array"),
        (b"[1]", b"[]", "kwargs is no JSON object"),
        (b"[1]", b'"x"', "kwargs is no JSON object"),
        (b"[" * 100_000, b"", "args is no JSON array"),
        (b"[" + b"[" * 1000 + b"]" * 1000 + b"]", b"", "args is no JSON array|nested|'value'"),
        (b"[1" + b"0" * 1_000_000 + b"]", b"", "'value'"),
        (b'["\\ud800"]', b"", "args is no JSON array|'value'"),
    ],
)
def test_what_does_not_fit_in_a_worker_is_named(args: bytes, kwargs: bytes, names: str) -> None:
    with pytest.raises(ArgumentsError, match=names):
        spec_of(int).decode(args, kwargs)


def test_errors_of_a_value_s_own_code_are_argument_errors() -> None:
    with pytest.raises(ArgumentsError, match=r"'value'.*out of order"):
        spec_of(Explodes).decode(b'[{"x": 1}]', b"")
    with pytest.raises(ArgumentsError, match="'value'"):
        spec_of(NoRepr).encode([NoRepr(1)], {})


@given(value=whole)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_encoding_twice_gives_the_same_bytes(value: int) -> None:
    spec = spec_of(int)
    try:
        assert spec.encode([value], {}) == spec.encode([], {"value": value})
    except ArgumentsError:
        assert abs(value) >= 10**4300
