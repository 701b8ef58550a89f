"""How arguments bind to parameters of every kind, and where they stand when they travel."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from heracles.codec import CallSpec
from heracles.errors import ArgumentsError, JobRegistrationError


def plain(to: str, subject: str, body: str = "", copies: int = 1) -> None: ...


def every_kind(
    a: int, b: int = 2, /, c: int = 3, *rest: float, d: bytes, e: set[int] | None = None, **more: str
) -> None: ...


def names_only(*, first: int, second: int = 2) -> None: ...


def nothing() -> None: ...


@pytest.mark.parametrize(
    ("call", "args", "kwargs", "encoded"),
    [
        (plain, ["a", "b"], {}, (b'["a","b"]', b"")),
        (plain, ["a", "b", "c", 4], {}, (b'["a","b","c",4]', b"")),
        (plain, ["a"], {"subject": "b"}, (b'["a","b"]', b"")),
        (plain, [], {"copies": 4, "body": "c", "subject": "b", "to": "a"}, (b'["a","b","c",4]', b"")),
        (plain, ["a", "b"], {"copies": 4}, (b'["a","b"]', b'{"copies":4}')),
        (names_only, [], {"first": 1}, (b"[]", b'{"first":1}')),
        (every_kind, [1], {"d": b""}, (b"[1]", b'{"d":""}')),
        (every_kind, [1], {"c": 5, "d": b""}, (b"[1]", b'{"c":5,"d":""}')),
        (every_kind, [1, 2], {"c": 5, "d": b""}, (b"[1,2,5]", b'{"d":""}')),
        (every_kind, [1, 2, 3, 4.5, 5], {"d": b"", "x": "y"}, (b"[1,2,3,4.5,5]", b'{"d":"","x":"y"}')),
        (every_kind, [1], {"d": b"", "a": "again", "e": {7}}, (b"[1]", b'{"d":"","a":"again","e":[7]}')),
        (nothing, [], {}, (b"[]", b"")),
    ],
)
def test_what_can_be_positional_is_up_to_the_first_left_out(
    call: Callable[..., None], args: Sequence[Any], kwargs: Mapping[str, Any], encoded: tuple[bytes, bytes]
) -> None:
    spec = CallSpec.of(call, "call")
    assert spec.encode(args, kwargs) == encoded
    # What a worker calls it with binds to the same parameters.
    positions, names = spec.decode(*encoded)
    signature = inspect.signature(call)
    assert signature.bind(*positions, **names).arguments == signature.bind(*args, **kwargs).arguments


@pytest.mark.parametrize(
    ("call", "args", "kwargs", "message"),
    [
        (plain, ["a"], {}, "missing a required argument: 'subject'"),
        (plain, [], {"subject": "b"}, "missing a required argument: 'to'"),
        (plain, ["a", "b", "c", 4, 5], {}, "too many positional arguments"),
        (plain, ["a", "b"], {"to": "c"}, "multiple values for argument 'to'"),
        (plain, ["a", "b"], {"other": 1}, "unexpected keyword argument 'other'"),
        (
            plain,
            ["a"],
            {"topic": 1},
            "unexpected keyword argument 'topic', and missing a required argument: 'subject'$",
        ),
        (
            plain,
            [1, 2, 3, 4, 5],
            {"topic": 1},
            "unexpected keyword argument 'topic', and too many positional arguments$",
        ),
        (plain, ["a", "b"], {"topic": 1}, "^call: got an unexpected keyword argument 'topic'$"),
        (every_kind, [], {"topic": "x", "d": b""}, "^call: missing a required argument: 'a'$"),
        (plain, ["a", "b"], {3: 1}, "string"),
        (names_only, [1], {}, "too many positional arguments|missing a required"),
        (names_only, [], {}, "missing a required argument: 'first'"),
        (every_kind, [1], {}, "missing a required argument: 'd'|missing a required keyword"),
        (nothing, [1], {}, "too many positional arguments"),
    ],
)
def test_what_does_not_bind_is_said_as_python_says_it(
    call: Callable[..., None], args: Sequence[Any], kwargs: Mapping[Any, Any], message: str
) -> None:
    with pytest.raises(ArgumentsError, match=message):
        CallSpec.of(call, "call").encode(args, kwargs)


def test_the_argument_at_fault_is_named_whatever_its_kind() -> None:
    spec = CallSpec.of(every_kind, "call")
    for args, kwargs, name in [
        ((1, "x"), {"d": b""}, "'b'"),
        ((1, 2, 3, "x"), {"d": b""}, "'rest'"),
        ((1,), {"d": "x"}, "'d'"),
        ((1,), {"d": b"", "zz": 1}, "'more'"),
    ]:
        assert isinstance(kwargs, dict)
        with pytest.raises(ArgumentsError, match=name):
            spec.encode(args, kwargs)


def test_many_calls_are_encoded_as_each_alone() -> None:
    def call(a: str, b: int = 2, c: list[float] | None = None) -> None: ...

    spec = CallSpec.of(call, "call")
    for calls in ([("x\ny", 1), ("\u2028\r", -1)], [("x",)] * 3, [("x", 1, [1.5]), ("", 0, None)]):
        encoded = spec.encode_many(calls, 100)
        assert encoded == [spec.encode(arguments, {})[0] for arguments in calls]


def test_the_shorter_way_encodes_the_same_or_nothing() -> None:
    def call(a: str, b: int = 2, c: list[float] | None = None) -> None: ...

    spec = CallSpec.of(call, "call")
    for arguments in (("x", 1), ["x"], ("x", 1, [1.5])):
        assert spec.encode_usual(arguments, 100) == spec.encode(arguments, {})
    at_fault: list[tuple[Any, ...]] = [(), ("x", "1"), ("x", 1, None, 4), (1,), ("\ud800",), ("x" * 97,)]
    for positions in at_fault:
        assert spec.encode_usual(positions, 100) is None
    for other in (every_kind, names_only):
        assert CallSpec.of(other, "other").encode_usual((1,), 100) is None


@pytest.mark.parametrize(
    "calls",
    [
        [("x", 1), ("x",)],
        [("x", 1), ("x", "1")],
        [("x", 1), (b"x", 1)],
        [("\ud800", 1)],
        [(), ()],
        [("x", 1, None, 4)],
        [("x", 1), ("x" * 90, 1)],
        [("x", 1, [math.nan])],
    ],
)
def test_many_calls_are_left_to_be_encoded_one_by_one_where_one_is_at_fault(calls: list[tuple[Any, ...]]) -> None:
    def call(a: str, b: int = 2, c: list[float] | None = None) -> None: ...

    assert CallSpec.of(call, "call").encode_many(calls, 90) is None


def test_large_calls_are_not_encoded_together() -> None:
    def call(a: str) -> None: ...

    spec = CallSpec.of(call, "call")
    assert spec.encode_many([("x" * 9_000,)] * 2, 1 << 20) is not None
    assert spec.encode_many([("x" * 10_000,)] * 2, 1 << 20) is None


def test_many_calls_are_encoded_together_only_where_equal_means_the_same() -> None:
    def untyped(a) -> None: ...  # type: ignore[no-untyped-def]
    def keyword(a: int, *, b: int) -> None: ...
    def several(*a: int) -> None: ...
    def bytes_(a: bytes) -> None: ...

    for call in (untyped, keyword, several, bytes_):
        assert CallSpec.of(call, "call").encode_many([(1,)], 90) is None


def test_any_parameter_may_have_any_name() -> None:
    def call(id: str, status: int, field_0: int, type: str, self: int) -> None: ...

    spec = CallSpec.of(call, "call")
    encoded = spec.encode(["i"], {"type": "t", "self": 3, "field_0": 2, "status": 1})
    assert encoded == (b'["i",1,2,"t",3]', b"")
    assert spec.decode(b'["i"]', b'{"status":1,"field_0":2,"type":"t","self":3}') == (("i", 1, 2, "t", 3), {})


class Unfit:
    pass


@pytest.mark.parametrize(
    "annotation", [complex, Unfit, list[Unfit], Callable[[], int], type[int], "Missing", "list[Missing]", int | Unfit]
)
def test_an_annotation_that_cannot_be_decoded_is_named(annotation: Any) -> None:
    def call(fine: int, broken: Any) -> None: ...

    call.__annotations__["broken"] = annotation
    with pytest.raises(JobRegistrationError, match=r"call: .*'broken'"):
        CallSpec.of(call, "call")


@pytest.mark.parametrize("annotation", [Unfit, list[Unfit], int | Unfit])
def test_what_to_annotate_instead_of_a_class_that_cannot_be_decoded_is_said(annotation: Any) -> None:
    def call(broken: Any) -> None: ...

    call.__annotations__["broken"] = annotation
    with pytest.raises(JobRegistrationError, match=r": give a dataclass, a TypedDict, a msgspec\.Struct or a dict$"):
        CallSpec.of(call, "call")


def test_a_union_that_json_cannot_tell_apart_is_named() -> None:
    @dataclass
    class One:
        x: int

    @dataclass
    class Two:
        x: int

    def call(broken: One | Two) -> None: ...

    with pytest.raises(JobRegistrationError, match=r"'broken'.*more than one dataclass"):
        CallSpec.of(call, "call")


def test_a_name_that_only_a_type_checker_sees_is_said_so() -> None:
    def call(broken: "Decimal") -> None: ...  # type: ignore[name-defined]  # noqa: F821 - that is the point

    with pytest.raises(JobRegistrationError, match=r"'Decimal' of 'broken' cannot be resolved.*run time"):
        CallSpec.of(call, "call")
