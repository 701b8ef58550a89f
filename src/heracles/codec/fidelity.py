"""Whether what arrives in the worker is what was given at dispatch."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, get_args, get_origin

import msgspec
from msgspec import inspect as kinds

from heracles.model import Value

#: The deepest nesting that travels. Python bears about 900 levels less the frames in use, which differ between producer
#: and worker: far below that, what was accepted here decodes everywhere.
DEEPEST = 128

_MISSING = object()
_LEAVES = (kinds.IntType, kinds.FloatType, kinds.BoolType, kinds.StrType, kinds.NoneType)


class TooDeepError(ValueError):
    """Nested deeper than ``DEEPEST``."""


class Fidelity(Value, frozen=True, kw_only=True):
    """How to compare values of one annotation."""

    by_equality: bool
    """That it decodes and is equal says all: nothing that is equal has another type."""
    exact: bool
    """``Any`` or ``object`` is in it: JSON values of exactly the JSON types, for nothing brings back another."""
    loose: bool
    """It names an abstract collection: a tuple fits a Sequence, although a list arrives."""

    @classmethod
    def of(cls, annotation: Any) -> "Fidelity":
        """For that annotation.

        Raises:
            TypeError: a type in it cannot be decoded; its argument is the type.
        """
        parts = list(_parts(kinds.type_info(annotation), set()))
        for part in parts:
            if isinstance(part, kinds.CustomType | kinds.ExtType) and not _is_any(part):
                raise TypeError(f"values of type {getattr(part, 'cls', annotation)} have no JSON form")
        return cls(
            by_equality=all(isinstance(p, _LEAVES + _CONTAINERS) for p in parts),
            exact=any(map(_is_any, parts)),
            loose=_is_abstract(annotation),
        )

    def holds(self, given: Any, arrived: Any) -> bool:
        """Whether ``arrived`` is ``given``, in value and in type.

        Raises:
            TooDeepError: they are nested deeper than ``DEEPEST``.
        """
        if self.by_equality and given == arrived:
            return True
        return self._same(given, arrived, 0)

    def _same(self, given: Any, arrived: Any, depth: int) -> bool:
        if depth > DEEPEST:
            raise TooDeepError(f"it is nested deeper than {DEEPEST} levels")
        kind = type(arrived)
        if kind is not type(given) and not self._may_become(given, kind):
            return False
        compare = _COMPARE.get(kind) or (_COMPARE[tuple] if isinstance(arrived, tuple) else None)
        if compare is not None:
            return compare(given, arrived, lambda a, b: self._same(a, b, depth + 1))
        fields = _fields(arrived)
        if fields is None:
            return bool(given == arrived)
        # A subclass would arrive without what it adds.
        return type(given) is kind and all(
            self._same(getattr(given, f, _MISSING), getattr(arrived, f, _MISSING), depth + 1) for f in fields
        )

    def _may_become(self, given: Any, kind: type) -> bool:
        if kind is float and type(given) is int:
            return True
        if kind is bytes and isinstance(given, bytearray | memoryview):
            return True
        if self.loose and any(kind is concrete and isinstance(given, abstract) for concrete, abstract in _ABSTRACT):
            return not isinstance(given, str | bytes)
        return not self.exact and isinstance(given, kind)


_CONTAINERS = (
    kinds.ListType,
    kinds.VarTupleType,
    kinds.TupleType,
    kinds.DictType,
    kinds.UnionType,
)
_ABSTRACT: tuple[tuple[type, type], ...] = ((list, Sequence), (set, Set), (dict, Mapping))


def _is_any(part: Any) -> bool:
    return isinstance(part, kinds.AnyType | kinds.RawType) or getattr(part, "cls", None) is object


def _parts(info: Any, seen: set[int]) -> list[Any]:
    """A type and all types in it, each once."""
    if isinstance(info, kinds.Field):
        return _parts(info.type, seen)
    if isinstance(info, tuple):
        return [part for item in info for part in _parts(item, seen)]
    if not isinstance(info, kinds.Type) or id(info) in seen:
        return []
    seen.add(id(info))
    inner = [getattr(info, field, None) for field in info.__struct_fields__]
    return [info, *_parts(tuple(inner), seen)]


def _is_abstract(annotation: Any) -> bool:
    origin = get_origin(annotation) or annotation
    if isinstance(origin, type) and origin.__module__ == "collections.abc":
        return True
    return any(_is_abstract(argument) for argument in get_args(annotation))


def _fields(value: Any) -> Sequence[str] | None:
    """The field names of a struct, dataclass or attrs object."""
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    attributes = getattr(type(value), "__attrs_attrs__", None)
    return None if attributes is None else [attribute.name for attribute in attributes]


_Same = Callable[[Any, Any], bool]


def _same_items(given: Sequence[Any], arrived: Sequence[Any], same: _Same) -> bool:
    return len(given) == len(arrived) and all(map(same, given, arrived))


def _same_members(given: Set[Any], arrived: Set[Any], same: _Same) -> bool:
    originals = {item: item for item in given}
    return len(originals) == len(arrived) and all(same(originals.get(item, _MISSING), item) for item in arrived)


def _same_mapping(given: Mapping[Any, Any], arrived: Mapping[Any, Any], same: _Same) -> bool:
    return _same_members(given.keys(), arrived.keys(), same) and all(
        same(given[key], value) for key, value in arrived.items()
    )


def _same_datetime(given: datetime.datetime, arrived: datetime.datetime, _: _Same) -> bool:
    # Not ==, which holds an ambiguous time of one zone unequal to the same instant in another (PEP 495).
    return given.utcoffset() == arrived.utcoffset() and given.replace(tzinfo=None, fold=0) == arrived.replace(
        tzinfo=None, fold=0
    )


def _same_time(given: datetime.time, arrived: datetime.time, _: _Same) -> bool:
    # A time in a zone with changing offsets loses its zone.
    return (given.tzinfo is None) == (arrived.tzinfo is None) and given == arrived


_COMPARE: Mapping[type, Callable[[Any, Any, _Same], bool]] = {
    list: _same_items,
    tuple: _same_items,
    set: _same_members,
    frozenset: _same_members,
    dict: _same_mapping,
    datetime.datetime: _same_datetime,
    datetime.time: _same_time,
}
