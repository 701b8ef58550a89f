"""One module a system, ``NAME_adapter``, which has ``producer(role)`` and ``work(role)``.

It is imported in that system's environment only.

Each uses the fastest settings that the system's own documentation names, and keeps no results where that is an option.
"""

import abc
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from benchmarks.role import Role


class AsyncProducer(Protocol):
    """A client that is awaited. Every call returns when the store has acknowledged."""

    async def open(self) -> None: ...

    async def dispatch(self, job: str, argument: str) -> None: ...

    async def dispatch_many(self, job: str, arguments: Sequence[str]) -> None:
        """With the fastest call for many that the system has."""
        ...

    async def dispatch_later(self, job: str, argument: str, delay_s: float) -> None: ...

    async def close(self) -> None: ...


class SyncProducer(abc.ABC):
    """A client that blocks. Every call returns when the store has acknowledged."""

    @abc.abstractmethod
    def dispatch(self, job: str, argument: str) -> None: ...

    def dispatch_many(self, job: str, arguments: Sequence[str]) -> None:
        """With the fastest call for many that the system has; without one, one by one."""
        for argument in arguments:
            self.dispatch(job, argument)

    @abc.abstractmethod
    def dispatch_later(self, job: str, argument: str, delay_s: float) -> None: ...


class Adapter(Protocol):
    """What each module here has."""

    def producer(self, role: Role) -> AsyncProducer | SyncProducer: ...

    def work(self, role: Role) -> None:
        """Serve until a signal ends it; may replace the process by the system's own command."""
        ...


def adapter(name: str) -> Adapter:
    """The adapter of that name."""
    return cast(Adapter, importlib.import_module(f"{__name__}.{name}_adapter"))


def become(program: str, *arguments: str) -> None:
    """Replace this process by a command of this environment."""
    path = Path(sys.executable).parent / program
    os.execv(path, [str(path), *arguments])
