"""Waiting for conditions instead of for time."""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

T = TypeVar("T")
#: Long enough for a busy machine: only a failing test ever waits as long.
DEADLINE_S = 10.0
INTERVAL_S = 0.005


@overload
async def eventually(
    look: Callable[[], Coroutine[Any, Any, T]], *, what: str = "", deadline_s: float = ..., interval_s: float = ...
) -> T: ...
@overload
async def eventually(
    look: Callable[[], T], *, what: str = "", deadline_s: float = ..., interval_s: float = ...
) -> T: ...
async def eventually(
    look: Callable[[], Any],
    *,
    what: str = "",
    deadline_s: float = DEADLINE_S,
    interval_s: float = INTERVAL_S,
) -> Any:
    """What ``look`` returns (or its awaitable yields), as soon as that is true.

    Raises:
        AssertionError: it was not within the deadline; names the condition and what it last returned.
    """
    end = time.monotonic() + deadline_s
    while True:
        found = look()
        value = await found if inspect.isawaitable(found) else found
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what or look}; last: {value!r:.1000}")
        await asyncio.sleep(interval_s)


def eventually_sync(
    look: Callable[[], T], *, what: str = "", deadline_s: float = DEADLINE_S, interval_s: float = INTERVAL_S
) -> T:
    """As ``eventually``, in a thread without an event loop."""
    end = time.monotonic() + deadline_s
    while not (value := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what or look}; last: {value!r:.1000}")
        time.sleep(interval_s)
    return value
