"""Calls of a store that may be away for a moment."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from heracles.errors import TransportUnavailableError
from heracles.transport import Transport

T = TypeVar("T")

#: Gives the transport, which may be looked up at its first use.
Resolve = Callable[[], Transport]

#: Seconds: the first pause between two attempts, and the longest.
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
#: Seconds that an attempt is given at least, whatever ``dispatch_timeout`` is.
SHORTEST_ATTEMPT_S = 1.0


async def repeated(verb: Callable[[Transport], Awaitable[T]], resolve: Resolve) -> T:
    """Call the transport, again and again while the store is away, for up to ``dispatch_timeout``.

    Every verb bears being repeated. Raises what the last attempt raised.
    """
    transport = resolve()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + transport.settings.dispatch_timeout_ms / 1000
    pause = FIRST_PAUSE_S
    while True:
        try:
            return await _attempt(verb, transport, max(deadline, loop.time() + SHORTEST_ATTEMPT_S))
        except TransportUnavailableError:
            # Jitter keeps producers that lost one store together from coming back together.
            wait = pause * random.uniform(0.5, 1.0)
            if loop.time() + wait >= deadline:
                raise
        await asyncio.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE_S)


async def _attempt(verb: Callable[[Transport], Awaitable[T]], transport: Transport, deadline: float) -> T:
    limit = asyncio.timeout_at(deadline)
    try:
        async with limit:
            return await verb(transport)
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise TransportUnavailableError(f"{transport.identity} did not answer in time") from exc
