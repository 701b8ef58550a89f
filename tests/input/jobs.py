"""Jobs that note what arrives, one for each annotation."""

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from heracles import FunctionJob, current_run, job

#: What has arrived, by dispatch id.
SEEN: dict[str, Any] = {}

#: Far beyond what a stack or a decoder bears.
DEEP = 100_000


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Node:
    """May hold more of its kind."""

    value: int
    children: "list[Node]" = field(default_factory=list)


@dataclass(frozen=True)
class Letter:
    """Holds values of several types."""

    to: str
    at: dt.datetime
    tags: frozenset[str] = frozenset()
    root: Node | None = None


class NoRepr:
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@job()
async def double(number: int) -> int:
    return 2 * number


def _noting(annotation: Any) -> FunctionJob[Any, Any, Any]:
    async def note(value: Any) -> None:
        run = current_run()
        assert run is not None
        SEEN[run.dispatch_id] = value

    note.__annotations__["value"] = annotation
    return job(name=f"note-{len(NOTING)}")(note)


NOTING: dict[str, FunctionJob[Any, Any, Any]] = {}


def noting(annotation: Any) -> FunctionJob[Any, Any, Any]:
    """The job that takes one value of that annotation."""
    name = str(annotation)
    if name not in NOTING:
        NOTING[name] = _noting(annotation)
    return NOTING[name]


def nested(wrap: Callable[[Any], Any], depth: int, core: Any = None) -> Any:
    """A value in that many others."""
    for _ in range(depth):
        core = wrap(core)
    return core


def _list(inner: Any) -> Any:
    return [inner]


def _table(inner: Any) -> Any:
    return {"a": inner}


def _node(inner: Any) -> Any:
    return Node(1, [inner] if inner is not None else [])


def _cycle() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)

#: Annotation and a value that has to arrive as it was.
ACCEPTED: list[tuple[Any, Any]] = [
    (Any, "\0"),
    (Any, "\x1b[31m\r\n\u2028\ufeff\u200b\U0001f469\u200d\U0001f680"),
    (Any, nested(_list, 128)),
    (Any, nested(_table, 128)),
    (Any, 10**4000),
    (int, -(2**63) - 1),
    (int, 2**64),
    (float, 5e-324),
    (float, 3),
    (str, ""),
    (bytes, b"\xff\x00"),
    (set[int], {1, 2}),
    (decimal.Decimal, decimal.Decimal("1.10")),
    (decimal.Decimal, decimal.Decimal("Infinity")),
    (uuid.UUID, uuid.UUID(int=1)),
    (Colour, Colour.RED),
    (Node, nested(_node, 60)),
    (Letter, Letter("a", NOON, frozenset({"x", "\0"}), Node(1, [Node(2)]))),
    (dict[str, list[Letter]], {"\0": [Letter("a", NOON)]}),
    (dict[int, str], {-1: "a"}),
    (tuple[int, str], (1, "a")),
]

#: Annotation, what makes a value that must be refused, and a word of the reason.
REFUSED: list[tuple[Any, Callable[[], Any], str]] = [
    (Any, lambda: nested(_list, DEEP), "nested too deeply"),
    (Any, lambda: nested(_table, DEEP), "nested too deeply"),
    (Any, lambda: nested(_list, 129), "nested deeper than 128"),
    (Any, _cycle, "contains itself"),
    (Node, lambda: nested(_node, DEEP), "nested too deeply"),
    (Any, lambda: 10**1_000_000, "digits"),
    (int, lambda: 10**1_000_000, "digits"),
    (Any, lambda: float("nan"), "nan has no JSON form"),
    (float, lambda: float("nan"), "nan has no JSON form"),
    (float, lambda: float("-inf"), "-inf has no JSON form"),
    (Any, lambda: [1, float("inf")], "would arrive as"),
    (decimal.Decimal, lambda: decimal.Decimal("NaN"), "no JSON form"),
    (decimal.Decimal, lambda: decimal.Decimal("sNaN"), "no JSON form"),
    (decimal.Decimal, lambda: 1.1, "would arrive as Decimal"),
    (Any, lambda: "\ud800", "surrogates not allowed"),
    (str, lambda: "a\udfff", "surrogates not allowed"),
    (Any, lambda: {"\udc00": 1}, "surrogates not allowed"),
    (Any, lambda: {1, 2}, "(set as list)"),
    (Any, lambda: b"x", "(bytes as str)"),
    (Any, lambda: (1, 2), "(tuple as list)"),
    (Any, lambda: decimal.Decimal("1"), "(Decimal as str)"),
    (Any, lambda: Letter("a", NOON), "(Letter as dict)"),
    (Any, lambda: NOON, "(datetime as str)"),
    (Any, lambda: {1: 2}, "would arrive as"),
    (Any, lambda: {(1, 2): 3}, "keys"),
    (Any, NoRepr, "unsupported"),
    (Any, object, "unsupported"),
    (int, lambda: True, "got `bool`"),
    (int, lambda: 1.0, "got `float`"),
    (float, lambda: 2**60 + 1, "would arrive as"),
    (set[int], lambda: {"a"}, "got `str`"),
    (set[int], lambda: [1], "(list as set)"),
    (bytes, lambda: "no base64!", "base64"),
    (Letter, lambda: {"to": "a", "at": NOON}, "(dict as Letter)"),
    (Letter, lambda: Letter(1, NOON), "got `int`"),  # type: ignore[arg-type]  # the mistake that is tested
]
