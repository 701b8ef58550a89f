"""Results as JSON, and the text of errors."""

import datetime as dt
import enum
from dataclasses import dataclass
from typing import Any

import pytest

from heracles.codec import ResultSpec, Source, encode_result, error_text
from heracles.errors import ResultError

ROOM = 1000


@dataclass
class Report:
    day: dt.date
    lines: tuple[int, ...]


class Size(enum.Enum):
    BIG = "big"


def there_and_back(value: Any, annotation: Any) -> Any:
    def call() -> Any: ...

    call.__annotations__["return"] = annotation
    return ResultSpec(Source(callable=call, where="call")).decode(encode_result(value, ROOM))


def test_a_result_comes_back_by_the_return_annotation() -> None:
    report = Report(dt.date(2024, 2, 29), (1, 2))
    assert there_and_back(report, Report) == report
    assert there_and_back([Size.BIG], list[Size]) == [Size.BIG]
    assert there_and_back({1, 2}, "set[int]") == {1, 2}
    assert there_and_back(None, None) is None


def test_a_result_that_is_not_what_the_annotation_says_is_not_lost() -> None:
    assert there_and_back({"a": 1}, Report) == {"a": 1}
    assert there_and_back("x", int) == "x"
    assert there_and_back([1], complex) == [1]
    assert there_and_back([1], "Missing") == [1]


def test_the_largest_result_fits_and_one_byte_more_does_not() -> None:
    assert encode_result("x" * (ROOM - 2), ROOM) == b'"' + b"x" * (ROOM - 2) + b'"'
    with pytest.raises(ResultError, match="1001 bytes, over max_result_bytes=1000"):
        encode_result("x" * (ROOM - 1), ROOM)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        1j,
        "\ud800",
        pytest.param(10**5000, id="digits"),
        float("nan"),
        [None, {"a": float("inf")}],
        [Size.BIG, 1j],
    ],
)
def test_what_has_no_json_form_is_an_error(value: Any) -> None:
    with pytest.raises(ResultError, match="cannot be encoded"):
        encode_result(value, ROOM)


def test_a_result_that_contains_itself_is_an_error() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ResultError, match="contains itself"):
        encode_result(loop, ROOM)


def test_none_beside_floats_is_no_error() -> None:
    assert encode_result([None, 1.5], ROOM) == b"[null,1.5]"


def raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_an_error_is_one_line_with_its_type_and_a_traceback() -> None:
    line, traceback = error_text(raised(ValueError("first\n  second")))
    assert line == "ValueError: first second"
    assert traceback.startswith("Traceback (most recent call last):\n")
    assert "in raised" in traceback
    assert traceback.endswith("ValueError: first\n  second\n")


@pytest.mark.parametrize("error", [KeyError(), SystemExit(), KeyboardInterrupt(), RecursionError(), MemoryError()])
def test_an_error_without_a_message_is_its_type(error: BaseException) -> None:
    assert error_text(raised(error))[0] == type(error).__name__


def test_long_texts_are_cut() -> None:
    line, traceback = error_text(raised(ValueError("é" * 1_000_000)))
    assert len(line) == 1000
    assert line.endswith("é…")
    assert len(traceback.encode()) <= 64 * 1024
    assert traceback.startswith("Traceback")
    assert "[…]" in traceback


def test_what_is_no_unicode_is_escaped() -> None:
    line, traceback = error_text(raised(ValueError("a\ud800b")))
    assert line == "ValueError: a\\ud800b"
    assert line.encode()
    assert traceback.encode()


class UntellableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_error_whose_text_cannot_be_had_is_still_told() -> None:
    line, traceback = error_text(raised(UntellableError()))
    assert line == "UntellableError: <its text cannot be had: RuntimeError>"
    assert "in raised" in traceback


def test_endless_recursion_has_a_bounded_traceback() -> None:
    def deeper(n: int) -> int:
        return deeper(n + 1)

    with pytest.raises(RecursionError) as caught:
        deeper(0)
    line, traceback = error_text(caught.value)
    assert line.startswith("RecursionError")
    assert len(traceback.encode()) <= 64 * 1024


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, RecursionError, ValueError])
def test_an_error_whose_text_raises_has_a_text_all_the_same(raised: type[BaseException]) -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise raised

    line, trace = error_text(BrokenError())
    assert line == f"BrokenError: <its text cannot be had: {raised.__name__}>"
    assert "Broken" in trace


def test_groups_nested_deeper_than_calls_may_be_have_a_text() -> None:
    error: Exception = ValueError("inside")
    for _ in range(1500):
        error = ExceptionGroup("group", [error])
    line, _ = error_text(error)
    assert line.startswith("ExceptionGroup: group")
