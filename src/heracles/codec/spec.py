"""How the arguments of one job are bound, encoded and decoded: compiled once, used for every dispatch and every run."""

import enum
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, get_args

import msgspec
from msgspec.structs import astuple

from heracles.codec.fidelity import Fidelity
from heracles.codec.signature import Parameters, Source
from heracles.errors import ArgumentsError, JobRegistrationError, PayloadTooLargeError, shown
from heracles.model import Value

_encoder = msgspec.json.Encoder()
_encode, _encode_lines = _encoder.encode, _encoder.encode_lines
#: Bytes of one call's arguments. Copies of larger ones cost more than is gained by encoding many together: a tenth at
#: 100 KB, two fifths at 1 MB.
LARGEST_TOGETHER = 10_000


class _Absent(enum.Enum):
    """Stands where an argument was left out."""

    ABSENT = enum.auto()


_ABSENT = _Absent.ABSENT
_items = msgspec.json.Decoder(list[msgspec.Raw])
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Slot(Value, frozen=True, kw_only=True):
    """One parameter."""

    name: str
    annotation: Any
    decoder: msgspec.json.Decoder[Any]
    fidelity: Fidelity

    @classmethod
    def of(cls, where: str, name: str, annotation: Any) -> "_Slot":
        try:
            decoder, fidelity = msgspec.json.Decoder(annotation), Fidelity.of(annotation)
        except Exception as exc:  # reading the fields of a user's class runs what stands in its annotations
            raise JobRegistrationError(
                f"{where}: the annotation {_shown(annotation)} of {name!r} cannot be decoded: {exc}{_way_out(exc)}"
            ) from exc
        return cls(name=name, annotation=annotation, decoder=decoder, fidelity=fidelity)

    def fault(self, value: Any) -> str | None:
        """Why this value cannot be sent, or None."""
        found = self._fault(value)
        return found and (f"{value!r} has no JSON form" if _is_no_number(value) else found)

    def _fault(self, value: Any) -> str | None:
        try:
            arrived = self.decoder.decode(_encode(value))
            if self.fidelity.holds(value, arrived):
                return None
        except RecursionError:
            return "it is nested too deeply, or contains itself"
        except Exception as exc:  # noqa: BLE001 - also what a value's own __post_init__ or __eq__ raises
            return str(exc) or type(exc).__name__
        return f"{shown(value, 100)} would arrive as {shown(arrived, 100)} ({_kind(value)} as {_kind(arrived)})"

    def decode(self, raw: bytes | msgspec.Raw, where: str) -> Any:
        try:
            return self.decoder.decode(raw)
        except RecursionError:
            raise ArgumentsError(f"{where}: argument {self.name!r} is nested too deeply") from None
        except Exception as exc:  # also what a value's own __post_init__ raises
            expected = _shown(self.annotation)
            raise ArgumentsError(f"{where}: argument {self.name!r} does not fit {expected}: {exc}") from exc


class CallSpec:
    """The arguments of one job: bound to its parameters, checked and encoded by their annotations, and back.

    Encoding decodes what it wrote and compares, so that nothing is accepted that would arrive as something else; both
    take one msgspec call for all arguments. Only when that fails are they looked at one by one, to name the culprit.
    """

    def __init__(self, source: Source) -> None:
        self._where = source.where
        self._parameters = parameters = Parameters(source)
        self._slots = {name: _Slot.of(source.where, name, kind) for name, kind in parameters.types.items()}
        self._plain = all(slot.fidelity.by_equality for slot in self._slots.values())
        self._positions = None if parameters.more_positions else self._joint(parameters.by_position, array_like=True)
        self._names = None if parameters.more_names else self._joint(parameters.by_name, array_like=False)
        #: For the positional arguments of a call that has so many of them.
        self._exact: dict[int, msgspec.json.Decoder[tuple[Any, ...]]] = {}
        self._only = self._exactly(parameters.counts[0]) if len(parameters.counts) == 1 else None

    @classmethod
    def of(
        cls,
        callable_: Callable[..., Any],
        where: str,
        *,
        owner: type | None = None,
        names: Mapping[str, Any] | None = None,
    ) -> "CallSpec":
        """Compiled for that callable; with ``owner`` it is a method of that class, ``names`` helps its annotations.

        Raises:
            JobRegistrationError: an annotation cannot be resolved or decoded; names parameter and annotation.
        """
        return cls(Source(callable=callable_, where=where, owner=owner, names=names or {}))

    def _joint(self, names: Sequence[str], *, array_like: bool) -> msgspec.json.Decoder[msgspec.Struct]:
        """One decoder for several parameters, each of which may be left out."""
        fields = [(f"field_{i}", self._slots[name].annotation, _ABSENT) for i, name in enumerate(names)]
        joint = msgspec.defstruct(
            "Arguments",
            fields,
            array_like=array_like,
            forbid_unknown_fields=True,
            rename={f"field_{i}": name for i, name in enumerate(names)},
        )
        return msgspec.json.Decoder(joint)

    def _exactly(self, count: int) -> "msgspec.json.Decoder[tuple[Any, ...]]":
        if count not in self._exact:
            kinds = tuple(self._slots[name].annotation for name in self._parameters.by_position[:count])
            self._exact[count] = msgspec.json.Decoder(tuple.__class_getitem__(kinds))
        return self._exact[count]

    # -------------------------------------------------------------------------------------------------- producer

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as they travel: positional up to the first one left out, the rest by name.

        Raises:
            ArgumentsError: they do not bind.
        """
        return self._parameters.bind(args, kwargs)

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """A JSON array and a JSON object (empty where there is nothing in it).

        Raises:
            ArgumentsError: they do not bind, do not fit their annotations, or would not come back as they are.
        """
        return self.encode_bound(*self.bind(args, kwargs))

    def encode_bound(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: int = sys.maxsize
    ) -> tuple[bytes, bytes]:
        """``encode`` for what ``bind`` returned.

        Raises:
            ArgumentsError: as ``encode``.
            PayloadTooLargeError: both together take more than ``limit`` bytes.
        """
        try:
            encoded = _encode(args), _encode(kwargs) if kwargs else b""
            # Before they are compared: that takes time with their length.
            if (size := len(encoded[0]) + len(encoded[1])) > limit:
                self._refuse(size, limit)
            if self._arrives(encoded, args, kwargs):
                return encoded
        except PayloadTooLargeError:
            raise
        except Exception as exc:  # any value's own code may raise anything; the search below names it
            raise self._blame(args, kwargs) from exc
        raise self._blame(args, kwargs)

    def encode_usual(self, args: Sequence[Any], limit: int) -> tuple[bytes, bytes] | None:
        """``bind`` and ``encode_bound`` of most calls, in the fewest steps.

        None where it is another, or one that cannot be sent.
        """
        count = len(args)
        if self._positions is None or not self._plain or count not in self._parameters.counts:
            return None
        try:
            encoded = _encode(args)
            if len(encoded) <= limit and self._exactly(count).decode(encoded) == tuple(args):
                return encoded, b""
        except Exception:  # noqa: BLE001 - any value's own code may raise anything; ``encode_bound`` names it
            return None
        return None

    def encode_many(self, calls: Sequence[tuple[Any, ...]], limit: int) -> list[bytes] | None:
        """The JSON arrays of many calls, each as many arguments by position as the first, at a third of the cost.

        None where they are not of a kind for which that can be, or large, to judge by the first, or one cannot be sent:
        ``encode_bound`` says which.
        """
        count = len(calls[0])
        if self._positions is None or not self._plain or count not in self._parameters.counts:
            return None
        try:
            if len(_encode(calls[0])) > LARGEST_TOGETHER:
                return None
            lines = _encode_lines(calls)
            # JSON has no raw line ends; the last one ends with one too.
            encoded = lines.split(b"\n")[:-1]
            if max(map(len, encoded)) <= limit and self._exactly(count).decode_lines(lines) == calls:
                return encoded
        except Exception:  # noqa: BLE001 - any value's own code may raise anything; the search one by one names it
            return None
        return None

    def _refuse(self, size: int, limit: int) -> None:
        raise PayloadTooLargeError(
            f"{self._where}: the arguments take {size} bytes, over max_payload_bytes={limit}: "
            "store them elsewhere and send where they are"
        )

    def _arrives(self, encoded: tuple[bytes, bytes], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        positions, names = self._decode(*encoded, count=len(args))
        if self._plain and positions == args and names == kwargs:
            return True
        return all(
            slot.fidelity.holds(given, arrived)
            for (slot, given), (_, arrived) in zip(
                self._pairs(args, kwargs), self._pairs(positions, names), strict=True
            )
        )

    def _pairs(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[tuple[_Slot, Any]]:
        slots, parameters = self._slots, self._parameters
        more = parameters.more_names or ""
        return [(slots[parameters.name_at(i)], value) for i, value in enumerate(args)] + [
            (slots[name if name in parameters.by_name else more], kwargs[name]) for name in sorted(kwargs)
        ]

    def _blame(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> ArgumentsError:
        for slot, value in self._pairs(args, kwargs):
            if (fault := slot.fault(value)) is not None:
                expected = _shown(slot.annotation)
                return ArgumentsError(f"{self._where}: argument {slot.name!r} cannot be sent as {expected}: {fault}")
        return ArgumentsError(f"{self._where}: the arguments cannot be encoded as JSON")

    # ---------------------------------------------------------------------------------------------------- worker

    def decode(self, args: bytes, kwargs: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as the annotations have them; what was left out stays out, for the defaults.

        Raises:
            ArgumentsError: they are no JSON array and object, do not bind, or one does not fit; names it.
        """
        try:
            if self._only is not None and not kwargs:
                return self._only.decode(args), {}
            positions, names = self._decode(args, kwargs)
        except Exception:  # noqa: BLE001 - a value's own code too; the search one by one names the culprit
            positions, names = self._decode_one_by_one(args, kwargs)
        return self._parameters.bind(positions, names)

    def _decode(self, args: bytes, kwargs: bytes, count: int | None = None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """``count``: of the positional ones, where it is known."""
        if self._positions is None or (kwargs and self._names is None):
            return self._decode_one_by_one(args, kwargs)
        if count is not None:
            positions = self._exactly(count).decode(args)
        else:
            positions = tuple([value for value in astuple(self._positions.decode(args)) if value is not _ABSENT])
        if not kwargs or self._names is None:
            return positions, {}
        values = zip(self._parameters.by_name, astuple(self._names.decode(kwargs)), strict=True)
        return positions, {name: value for name, value in values if value is not _ABSENT}

    def _decode_one_by_one(self, args: bytes, kwargs: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        items, members = (
            self._raw(_items, args, "args", "array"),
            self._raw(_members, kwargs or b"{}", "kwargs", "object"),
        )
        # Binding the undecoded ones tells of missing and unknown names before their values.
        self._parameters.bind(items, members)
        positions = tuple([slot.decode(raw, self._where) for slot, raw in self._pairs(items, {})])
        named = [slot.decode(raw, self._where) for slot, raw in self._pairs((), members)]
        return positions, dict(zip(sorted(members), named, strict=True))

    def _raw(self, decoder: msgspec.json.Decoder[Any], encoded: bytes, what: str, form: str) -> Any:
        try:
            return decoder.decode(encoded)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise ArgumentsError(f"{self._where}: {what} is no JSON {form}: {exc}") from exc


def _way_out(error: Exception) -> str:
    """What to annotate instead, where a class in an annotation is none that can be sent."""
    is_class = any(words in str(error) for words in ("have no JSON form", "containing a custom type"))
    return ": give a dataclass, a TypedDict, a msgspec.Struct or a dict" if is_class else ""


def _shown(annotation: Any) -> str:
    is_class = isinstance(annotation, type) and not get_args(annotation)
    return annotation.__qualname__ if is_class else str(annotation)


def _is_no_number(value: Any) -> bool:
    """Whether it is a NaN or an infinity."""
    if isinstance(value, Decimal):
        return not value.is_finite()
    return isinstance(value, float) and not math.isfinite(value)


def _kind(value: Any) -> str:
    return type(value).__qualname__
