"""Calls of a store that may be away for a moment."""

import asyncio
import logging
import random
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import TypeVar

from heracles.errors import TransportUnavailableError
from heracles.transport import Transport

logger = logging.getLogger("heracles.queue")

T = TypeVar("T")

#: Gives the transport, which may be looked up at its first use.
Resolve = Callable[[], Transport]

#: Seconds: the first pause between two attempts, and the longest.
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
#: Seconds that an attempt is given at least, whatever ``dispatch_timeout`` is.
SHORTEST_ATTEMPT_S = 1.0
#: Seconds after which a call that waits says so: most outages are over before.
TELL_AFTER_S = 1.0


class _Outage:
    """What was told of one transport's outages: one line for each, however many calls wait."""

    def __init__(self) -> None:
        self.is_on = False
        self.ended_at = 0.0


_outages: "weakref.WeakKeyDictionary[Transport, _Outage]" = weakref.WeakKeyDictionary()


async def repeated(verb: Callable[[Transport], Awaitable[T]], resolve: Resolve) -> T:
    """Call the transport, again and again while the store is away, for up to ``dispatch_timeout``.

    Every verb bears being repeated. Raises what the last attempt raised.
    """
    transport = resolve()
    loop = asyncio.get_running_loop()
    limit_s = transport.settings.dispatch_timeout_ms / 1000
    deadline = loop.time() + limit_s
    # A timer, for an attempt may hang where nothing answers.
    telling = (
        loop.call_later(TELL_AFTER_S, _tell, transport, limit_s, time.monotonic()) if limit_s > TELL_AFTER_S else None
    )
    try:
        answer = await _until(deadline, verb, transport)
    finally:
        if telling is not None:
            telling.cancel()
    if _outages:
        _end(transport)
    return answer


async def _until(deadline: float, verb: Callable[[Transport], Awaitable[T]], transport: Transport) -> T:
    loop = asyncio.get_running_loop()
    pause = FIRST_PAUSE_S
    while True:
        try:
            return await _attempt(verb, transport, max(deadline, loop.time() + SHORTEST_ATTEMPT_S))
        except TransportUnavailableError as error:
            left = deadline - loop.time()
            if left <= 0:
                # The message says it all; below it are only the transport's own doings.
                raise TransportUnavailableError(str(error)) from None
        # Jitter keeps producers that lost one store together from coming back together. The last attempt is made when
        # the time is over, and none is given up before.
        await asyncio.sleep(min(left, pause * random.uniform(0.5, 1.0)))
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


def _tell(transport: Transport, limit_s: float, since: float) -> None:
    outage = _outages.setdefault(transport, _Outage())
    # A call from before the end of an outage may still be in a pause after it.
    if outage.is_on or outage.ended_at > since:
        return
    outage.is_on = True
    logger.warning(
        "%s does not answer: waiting for it, each call for up to %g s (dispatch_timeout)", transport.identity, limit_s
    )


def _end(transport: Transport) -> None:
    outage = _outages.get(transport)
    if outage is not None and outage.is_on:
        outage.is_on, outage.ended_at = False, time.monotonic()
        logger.info("%s answers again", transport.identity)
