"""The parameters of a job with their annotations resolved, and how arguments bind to them."""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, SimpleNamespace
from typing import Any, get_type_hints

if sys.version_info >= (3, 14):
    import annotationlib

from heracles.errors import ArgumentsError, JobRegistrationError, shown
from heracles.model import Value

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Source(Value, frozen=True, kw_only=True):
    """A callable whose parameters are a job's, and where the names in its annotations are found."""

    callable: Callable[..., Any]
    where: str
    """What errors call it."""
    owner: type | None = None
    """The class whose ``__init__`` or method it is; its first parameter is not the caller's to give."""
    names: Mapping[str, Any] = {}
    """What the annotations may use beyond the globals of their module."""

    @property
    def signature(self) -> inspect.Signature:
        """The parameters that a caller gives."""
        if self.callable is object.__init__:
            return inspect.Signature()
        signature = inspect.signature(self.callable)
        if self.owner is None:
            return signature
        return signature.replace(parameters=list(signature.parameters.values())[1:])

    def resolve(self, name: str, annotation: Any) -> Any:
        """An annotation as a type; Any where there is none.

        Raises:
            JobRegistrationError: a name in it cannot be found.
        """
        if annotation is inspect.Parameter.empty or annotation is object:
            return Any
        holder = SimpleNamespace(__annotations__={name: annotation})
        try:
            hint = get_type_hints(holder, self._globals(name), self._locals(), include_extras=True)[name]
        except Exception as exc:  # evaluating an annotation runs whatever stands in it
            raise JobRegistrationError(
                f"{self.where}: the annotation {annotation!r} of {name!r} cannot be resolved ({exc}): "
                "import its names where the module can see them at run time"
            ) from exc
        if isinstance(hint, dataclasses.InitVar):
            hint = hint.type
        return Any if hint is object else hint

    def _globals(self, name: str) -> dict[str, Any]:
        function = inspect.unwrap(self.callable)
        # The generated __init__ of a dataclass has the annotations of fields that base classes elsewhere declare.
        if self.owner is not None and is_generated(function):
            for cls in self.owner.__mro__:
                if name in own_annotations(cls) and cls.__module__ in sys.modules:
                    return vars(sys.modules[cls.__module__])
        found: dict[str, Any] = getattr(function, "__globals__", {})
        return found

    def _locals(self) -> dict[str, Any]:
        function = inspect.unwrap(self.callable)
        code: CodeType | None = getattr(function, "__code__", None)
        cells = getattr(function, "__closure__", None) or ()
        closure = {name: cell.cell_contents for name, cell in zip(code.co_freevars if code else (), cells, strict=False)
                   if _is_filled(cell)}  # fmt: skip
        return {**closure, **self.names}


def own_annotations(annotated: Any) -> Mapping[str, Any]:
    """The annotations of a function, or in the body of that very class, unresolved."""
    if sys.version_info >= (3, 14):  # where they are evaluated late, and may not be found yet
        return annotationlib.get_annotations(annotated, format=annotationlib.Format.FORWARDREF)
    # Read from the class itself: getattr would find those of its bases.
    if isinstance(annotated, type):
        found: Mapping[str, Any] = vars(annotated).get("__annotations__", {})
        return found
    return getattr(annotated, "__annotations__", {})


def is_generated(function: Callable[..., Any]) -> bool:
    """Whether ``dataclasses`` wrote this ``__init__``."""
    code: CodeType | None = getattr(function, "__code__", None)
    return code is not None and code.co_filename == "<string>"


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises where the name is not bound yet
    except ValueError:
        return False
    return True


class Parameters:
    """The parameters of one job by kind, and binding to them.

    ``inspect.Signature.bind`` costs 1.8 µs, so it is left for keywords that stay such, and for the text of errors.
    """

    def __init__(self, source: Source) -> None:
        self._where = source.where
        self._signature = source.signature
        listed = list(self._signature.parameters.values())
        self.types = {p.name: source.resolve(p.name, p.annotation) for p in listed}
        self.by_position = tuple(p.name for p in listed if p.kind in _BY_POSITION)
        self.by_name = tuple(p.name for p in listed if p.kind in _BY_NAME)
        self.more_positions = next((p.name for p in listed if p.kind is p.VAR_POSITIONAL), None)
        self.more_names = next((p.name for p in listed if p.kind is p.VAR_KEYWORD), None)
        required = [p for p in listed if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        least = sum(p.kind in _BY_POSITION for p in required)
        most = sys.maxsize - 1 if self.more_positions else len(self.by_position)
        #: How many arguments a call without keywords may have.
        self.counts = range(least, most + 1) if len(required) == least else range(0)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as they travel: those that can be positional up to the first left out, the rest by name.

        Raises:
            ArgumentsError: they do not bind; says why as Python would.
        """
        positions = tuple(args)
        if kwargs:
            positions += tuple(self._by_name_in_turn(len(args), kwargs))
        if len(positions) == len(args) + len(kwargs) and len(positions) in self.counts:
            return positions, {}
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise ArgumentsError(f"{self._where}: {self._unknown(kwargs, str(exc))}{exc}") from None
        taken = self.by_position[len(args) : len(positions)]
        return positions, {name: value for name, value in kwargs.items() if name not in taken}

    def _by_name_in_turn(self, first: int, kwargs: Mapping[str, Any]) -> Iterator[Any]:
        """What is given by name of those that can be positional, from there up to the first left out."""
        for name in self.by_position[first:]:
            if name not in kwargs or name not in self.by_name:
                return
            yield kwargs[name]

    def _unknown(self, kwargs: Mapping[str, Any], said: str) -> str:
        """A name that no parameter has: where another is missing as well, Python says that alone."""
        known = (*self.by_position, *self.by_name)
        found = None if self.more_names else next((name for name in kwargs if name not in known), None)
        if found is None or "unexpected keyword" in said:
            return ""
        return f"got an unexpected keyword argument {shown(found)}, and "

    def name_at(self, position: int) -> str:
        """The parameter that takes the argument at that position."""
        return self.by_position[position] if position < len(self.by_position) else self.more_positions or "*"
