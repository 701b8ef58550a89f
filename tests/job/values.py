"""Types that travel, each with a Hypothesis strategy for its values. Module level, as users have them."""

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, NewType, TypedDict

import msgspec
from hypothesis import strategies as st


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Point:
    x: int
    label: str = ""


@dataclass
class Point3(Point):
    z: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """Compares by identity, so that only its fields can tell that it came back."""

    day: dt.date
    inner: tuple[Point, ...] = ()


@dataclass
class Hidden:
    """A field that its == does not look at."""

    shown: int
    noted: str = field(default="", compare=False)


@dataclass
class Node:
    value: int
    next: "Node | None" = None


class Item(msgspec.Struct, frozen=True):
    name: str
    tags: set[str] = set()


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    bones: float


class Movie(TypedDict, total=False):
    title: str
    year: int


class Pair(NamedTuple):
    left: int
    right: bytes = b""


UserId = NewType("UserId", int)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
whole = st.integers()
finite = st.floats(allow_nan=False, allow_infinity=False)
blob = st.binary(max_size=20)
offsets = st.integers(-23 * 60, 23 * 60).map(lambda m: dt.timezone(dt.timedelta(minutes=m)))
aware = st.datetimes(
    min_value=dt.datetime(2, 1, 1), max_value=dt.datetime(9998, 1, 1), timezones=offsets | st.just(dt.UTC)
)
naive = st.datetimes()
points = st.builds(Point, x=whole, label=text)
json_leaf = st.none() | st.booleans() | whole | finite | text
json_values = st.recursive(
    json_leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=10
)

#: (annotation, strategy of values that fit it)
TRAVELS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, text),
    (int, whole),
    (float, finite),
    (bool, st.booleans()),
    (None, st.none()),
    (bytes, blob),
    (dt.datetime, aware),
    (dt.datetime, naive),
    (dt.date, st.dates()),
    (dt.time, st.times()),
    (dt.timedelta, st.timedeltas(min_value=dt.timedelta(days=-(10**6)), max_value=dt.timedelta(days=10**6))),
    (uuid.UUID, st.uuids()),
    (decimal.Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (Word, st.sampled_from(Word)),
    (Rights, st.sampled_from([Rights.READ, Rights.READ | Rights.WRITE])),
    (list[int], st.lists(whole)),
    (set[str], st.sets(text)),
    (frozenset[Level], st.frozensets(st.sampled_from(Level))),
    (tuple[int, str], st.tuples(whole, text)),
    (tuple[bytes, ...], st.lists(blob).map(tuple)),
    (dict[str, float], st.dictionaries(text, finite)),
    (dict[int, str], st.dictionaries(whole, text)),
    (dict[dt.date, bool], st.dictionaries(st.dates(), st.booleans())),
    (dict[uuid.UUID, list[int]], st.dictionaries(st.uuids(), st.lists(whole))),
    (Sequence[int], st.lists(whole)),
    (Mapping[str, int], st.dictionaries(text, whole)),
    (AbstractSet[int], st.sets(whole)),
    (Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    (int | None, st.none() | whole),
    (int | str | list[float] | None, whole | text | st.lists(finite) | st.none()),
    (Point, points),
    (Frozen, st.builds(Frozen, day=st.dates(), inner=st.lists(points, max_size=2).map(tuple))),
    (Hidden, st.builds(Hidden, shown=whole, noted=text)),
    (Node, st.recursive(st.builds(Node, value=whole), lambda n: st.builds(Node, value=whole, next=n), max_leaves=5)),
    (Item, st.builds(Item, name=text, tags=st.sets(text))),
    (Cat | Dog, st.builds(Cat, lives=whole) | st.builds(Dog, bones=finite)),
    (Movie, st.fixed_dictionaries({}, optional={"title": text, "year": whole})),
    (Pair, st.builds(Pair, left=whole, right=blob)),
    (UserId, whole),
    (list[Point | None], st.lists(points | st.none(), max_size=3)),
    (Any, json_values),
    (object, json_values),
    (dict[str, Any], st.dictionaries(text, json_values, max_size=3)),
    (list, st.lists(json_values, max_size=3)),
]
