"""Jobs for tests of the worker. What they do is told to them by their arguments or by ``BOARD``."""

import asyncio
import threading
import time
from collections import defaultdict
from typing import Any

from heracles.errors import Fail
from heracles.job import Job


class Board:
    """What jobs write down, and events that they wait for."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.notes: list[Any] = []
        self.are_open = False
        self.doors: dict[str, threading.Event] = defaultdict(threading.Event)

    def open_all(self) -> None:
        """Let every job go that waits or will wait."""
        self.are_open = True
        for door in self.doors.values():
            door.set()

    def note(self, what: Any) -> None:
        self.notes.append(what)

    async def pass_door(self, name: str) -> None:
        """Returns when a test has opened that door."""
        while not (self.are_open or self.doors[name].is_set()):  # noqa: ASYNC110 - threads wait for it too
            await asyncio.sleep(0.002)


BOARD = Board()


@Job.register(queue="jobs")
class Note(Job):
    """Notes its argument."""

    def __init__(self, what: Any) -> None:
        self.what = what

    async def execute(self) -> Any:
        BOARD.note(self.what)
        return self.what


@Job.register(queue="jobs")
class NoteInThread(Job):
    """Notes its argument, on a thread."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def execute(self) -> Any:
        BOARD.note(self.what)
        return self.what


@Job.register(queue="jobs")
class Gate(Job):
    """Begins, waits for its door, ends."""

    def __init__(self, door: str = "door") -> None:
        self.door = door

    async def execute(self) -> str:
        BOARD.note(f"begin {self.door}")
        try:
            await BOARD.pass_door(self.door)
        except asyncio.CancelledError:
            BOARD.note(f"cancelled {self.door}")
            raise
        BOARD.note(f"end {self.door}")
        return self.door


@Job.register(queue="jobs")
class GateInThread(Job):
    """The same, on a thread; heeds ``self.cancelled``, unless stubborn."""

    def __init__(self, door: str = "door", stubborn: bool = False) -> None:
        self.door = door
        self.stubborn = stubborn

    def execute(self) -> str:
        BOARD.note(f"begin {self.door}")
        while not (BOARD.are_open or BOARD.doors[self.door].wait(0.002)):
            if self.cancelled and not self.stubborn:
                BOARD.note(f"cancelled {self.door}")
                raise RuntimeError("cancelled")
        BOARD.note(f"end {self.door}")
        return self.door


@Job.register(queue="jobs")
class Stubborn(Job):
    """Swallows the first cancellations."""

    def __init__(self, times: int = 1) -> None:
        self.times = times

    async def execute(self) -> str:
        BOARD.note("begin")
        for _ in range(self.times):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                BOARD.note("swallowed")
        await BOARD.pass_door("door")
        return "stubborn"


@Job.register(queue="jobs")
class Raise(Job):
    """Raises what it is told to."""

    def __init__(self, what: str, message: str = "on purpose") -> None:
        self.what = what
        self.message = message

    async def execute(self) -> None:
        raise_it(self.what, self.message)


@Job.register(queue="jobs")
class RaiseInThread(Job):
    """The same, on a thread."""

    def __init__(self, what: str, message: str = "on purpose") -> None:
        self.what = what
        self.message = message

    def execute(self) -> None:
        raise_it(self.what, self.message)


@Job.register(queue="jobs")
class RaiseInConstructor(Job):
    """Raises when it is built with True."""

    def __init__(self, broken: bool) -> None:
        if broken:
            raise ValueError("cannot be built")

    async def execute(self) -> None:
        pass


@Job.register(queue="jobs")
class FailTimes(Job):
    """Fails so many times, then returns how often it had."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def execute(self) -> int:
        BOARD.note((self.retries, self.last_error))
        if self.retries < self.times:
            raise ValueError(f"run {self.retries}")
        return self.retries


@Job.register(queue="jobs")
class Block(Job):
    """Blocks the event loop."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def execute(self) -> None:
        BOARD.note("begin")
        time.sleep(self.seconds)  # noqa: ASYNC251 - that is the point
        BOARD.note("end")


@Job.register(queue="jobs")
class Return(Job):
    """Returns something odd."""

    def __init__(self, what: str) -> None:
        self.what = what

    async def execute(self) -> Any:
        return {"object": object(), "large": "x" * 2_000_000, "nan": float("nan"), "none": None}[self.what]


def raise_it(what: str, message: str) -> None:
    """Raise an exception of that name."""
    if what == "recursion":
        raise_it(what, message)
    errors: dict[str, type[BaseException]] = {
        "ValueError": ValueError,
        "Fail": Fail,
        "SystemExit": SystemExit,
        "KeyboardInterrupt": KeyboardInterrupt,
        "GeneratorExit": GeneratorExit,
        "CancelledError": asyncio.CancelledError,
        "MemoryError": MemoryError,
        "StopIteration": StopIteration,
        "StopAsyncIteration": StopAsyncIteration,
        "TimeoutError": TimeoutError,
    }
    raise errors[what](message)


@Job.register(queue="jobs")
class Span(Job):
    """Notes its beginning and its end, with its job id."""

    async def execute(self) -> None:
        BOARD.note(("begin", self.id))
        await asyncio.sleep(0.005)
        BOARD.note(("end", self.id))
