"""The jobs that every system runs: the same bodies for all, once as coroutine functions and once as plain functions.

Each takes one string of 100 bytes.
"""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from benchmarks.board import Board, Counter
from benchmarks.role import Role

ARGUMENT_BYTES = 100
SLEEP_S = 0.01
#: Longer than any run: what holds on that long was killed.
HOLD_S = 600.0
#: Of a job that keeps the event loop busy: how long it does at a time, and how long it then leaves it to others.
BUSY_S, IDLE_S = 0.08, 0.02

_counters: dict[int, Counter] = {}
_opening = threading.Lock()


def plain_argument(index: int, size: int = ARGUMENT_BYTES) -> str:
    """The argument of a job that only counts itself; it names one of 1000 ids."""
    return f"id-{index % 1000:03d}".ljust(size, "x")


def stamped_argument(index: int, due_ns: int) -> str:
    """The argument of a job that tells how long after ``due_ns`` (monotonic) it started, as sample ``index``."""
    return f"{index}:{due_ns}:".ljust(ARGUMENT_BYTES, "x")


def _counter() -> Counter:
    # By process id: a child that was forked counts in a slot of its own.
    return _counters.get(os.getpid()) or _open_counter()


def _open_counter() -> Counter:
    with _opening:
        process = os.getpid()
        if process not in _counters:
            _counters[process] = Counter(Board(Role.current().board))
        return _counters[process]


def _stamp(argument: str) -> None:
    now = time.monotonic_ns()
    index, due_ns, _ = argument.split(":", 2)
    counter = _counter()
    counter.board.put_sample(int(index), now - int(due_ns))
    counter.add()


def _interval() -> None:
    counter = _counter()
    since = counter.add()
    # A worker that nobody has ended yet goes on beyond what is asked for.
    if 1 < counter.total <= counter.board.room + 1:
        counter.board.put_sample(counter.total - 2, since)


def flag(board: str) -> Path:
    """The file that the harness makes after it has killed the worker, or when a busy job may end."""
    return Path(board + ".flag")


def history(board: str) -> Path:
    """The file to which held jobs append what happens to them."""
    return Path(board + ".history")


def _write_down(what: str, argument: str) -> None:
    with history(Role.current().board).open("a") as log:
        log.write(f"{what} {argument.rstrip('x')} {time.monotonic()}\n")


def _must_hold(argument: str) -> bool:
    """Whether the worker has still to be killed; writes down that the job has started or, after the kill, ended."""
    is_killed = flag(Role.current().board).exists()
    _write_down("ended" if is_killed else "started", argument)
    return not is_killed


async def noop(argument: str) -> None:
    _counter().add()


async def sleep(argument: str) -> None:
    await asyncio.sleep(SLEEP_S)
    _counter().add()


async def stamp(argument: str) -> None:
    _stamp(argument)


async def interval(argument: str) -> None:
    _interval()


async def hold(argument: str) -> None:
    if _must_hold(argument):
        await asyncio.sleep(HOLD_S)


async def busy(argument: str) -> None:
    """Keeps the event loop busy four fifths of the time, until the harness has seen enough."""
    _write_down("started", argument)
    enough = flag(Role.current().board)
    while not enough.exists():
        until = time.perf_counter() + BUSY_S
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(IDLE_S)


def noop_in_thread(argument: str) -> None:
    _counter().add()


def sleep_in_thread(argument: str) -> None:
    time.sleep(SLEEP_S)
    _counter().add()


def stamp_in_thread(argument: str) -> None:
    _stamp(argument)


def interval_in_thread(argument: str) -> None:
    _interval()


def hold_in_thread(argument: str) -> None:
    if _must_hold(argument):
        time.sleep(HOLD_S)


#: By the name under which they are dispatched, for systems that run coroutines.
COROUTINES: Mapping[str, Callable[[str], Awaitable[None]]] = {
    "noop": noop,
    "sleep": sleep,
    "stamp": stamp,
    "interval": interval,
    "hold": hold,
}
#: The same for systems that run plain functions, and what every system that has threads runs in them.
FUNCTIONS: Mapping[str, Callable[[str], None]] = {
    "noop": noop_in_thread,
    "sleep": sleep_in_thread,
    "stamp": stamp_in_thread,
    "interval": interval_in_thread,
    "hold": hold_in_thread,
    "threaded": noop_in_thread,
}
