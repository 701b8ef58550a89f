"""Finds fields and methods of job classes that would hide what ``Job`` itself offers."""

import dis
from collections.abc import Iterable, Iterator, Set
from types import CodeType, FunctionType

from heracles.codec.signature import own_annotations
from heracles.errors import JobRegistrationError


def refuse_reserved(cls: type, base: type, reserved: Set[str]) -> None:
    """Look through a class and what it inherits before ``base``.

    Raises:
        JobRegistrationError: a field, method or assignment to ``self`` has a reserved name; names it.
    """
    for part in cls.__mro__[: cls.__mro__.index(base)]:
        for name in _names(part):
            if name in reserved:
                raise JobRegistrationError(
                    f"{cls.__qualname__}: {name!r} is an attribute of every job, so no field or method can have "
                    "that name (a parameter can: store it under another one)"
                )


def _names(cls: type) -> Iterator[str]:
    yield from own_annotations(cls)
    for name, value in vars(cls).items():
        yield name
        if isinstance(value, FunctionType):
            yield from _assigned(value.__code__)


def _assigned(code: CodeType) -> Iterable[str]:
    """The attributes that a method assigns to its first parameter: ``self.name = …``."""
    if not code.co_argcount:
        return
    itself, before = code.co_varnames[0], None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_ATTR" and before == itself:
            yield instruction.argval
        # Where one instruction loads two variables, the second is on top.
        loads = instruction.opname.startswith("LOAD_FAST")
        before = instruction.argval if loads else None
        if isinstance(before, tuple):
            before = before[-1]
