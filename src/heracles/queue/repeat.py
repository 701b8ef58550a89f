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
#: Seconds until calls are looked after at the latest; not over either of the two before.
LOOK_AFTER_S = 0.5


class _Outage:
    """What was told of one transport's outages: one line for each, however many calls wait."""

    def __init__(self) -> None:
        self.is_on = False
        self.ended_at = 0.0


_outages: "weakref.WeakKeyDictionary[Transport, _Outage]" = weakref.WeakKeyDictionary()


class Repeater:
    """Calls a transport from one event loop, again and again while the store is away, for up to ``dispatch_timeout``.

    Every verb bears being repeated.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._loop = asyncio.get_running_loop()
        #: Calls begun of late, and when they are looked after. Two timers for each would cost more than all the rest,
        #: and most calls end long before they are needed.
        self._young: dict[_Call, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def call(self, verb: Callable[[Transport], Awaitable[T]]) -> T:
        """What the verb answers. Raises what the last attempt raised."""
        call = _Call(self._resolve(), self._loop)
        self._young[call] = None
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_AFTER_S, self._look)
        try:
            answer = await verb(call.transport)
        except BaseException as exc:
            problem = call.problem(exc)
            if problem is None:
                raise
        else:
            call.close()
            if _outages:
                _end(call.transport)
            return answer
        finally:
            self._young.pop(call, None)
        answer = await call.again(verb, problem)
        _end(call.transport)
        return answer

    def _look(self) -> None:
        self._timer = None
        young, self._young = self._young, {}
        for call in young:
            call.limit()


async def repeated(verb: Callable[[Transport], Awaitable[T]], resolve: Resolve) -> T:
    """A single call by a ``Repeater``."""
    return await Repeater(resolve).call(verb)


class _Call:
    """One call of a transport."""

    __slots__ = ("_began", "_limit", "_loop", "_ran_out", "_requests", "_task", "_telling", "transport")

    def __init__(self, transport: Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self._loop = loop
        self._began = loop.time()
        self._task = asyncio.current_task(loop)
        #: As in ``asyncio.Timeout``: who else wants the task to end.
        self._requests = self._task.cancelling() if self._task is not None else 0
        self._ran_out = False
        #: Ends the first attempt, and tells of the outage: an attempt may hang where nothing answers.
        self._limit: asyncio.TimerHandle | None = None
        self._telling: asyncio.TimerHandle | None = None

    @property
    def _limit_s(self) -> float:
        return self.transport.settings.dispatch_timeout_ms / 1000

    def limit(self) -> None:
        """Look after its first attempt."""
        self._limit = self._loop.call_at(self._began + max(self._limit_s, SHORTEST_ATTEMPT_S), self._run_out)
        self._tell_later()

    def _tell_later(self) -> None:
        if self._limit_s > TELL_AFTER_S:
            since = time.monotonic() - (self._loop.time() - self._began)
            self._telling = self._loop.call_at(self._began + TELL_AFTER_S, _tell, self.transport, self._limit_s, since)

    def _run_out(self) -> None:
        self._ran_out = True
        if self._task is not None:
            self._task.cancel()

    def problem(self, raised: BaseException) -> str | None:
        """Why the first attempt, which has raised this, has not reached the store; None where it has another reason."""
        ran_out = self.close()
        if isinstance(raised, asyncio.CancelledError) and ran_out:
            return _out_of_time(self.transport)
        return str(raised) if isinstance(raised, TransportUnavailableError) else None

    def close(self) -> bool:
        """End what looks after the first attempt. Whether that has cancelled the task, and nobody else."""
        for timer in (self._limit, self._telling):
            if timer is not None:
                timer.cancel()
        ran_out, self._ran_out = self._ran_out, False
        return ran_out and self._task is not None and self._task.uncancel() <= self._requests

    async def again(self, verb: Callable[[Transport], Awaitable[T]], problem: str) -> T:
        """Further attempts, while there is time."""
        self._tell_later()
        try:
            return await self._until(self._began + self._limit_s, verb, problem)
        finally:
            self.close()

    async def _until(self, deadline: float, verb: Callable[[Transport], Awaitable[T]], problem: str) -> T:
        pause = FIRST_PAUSE_S
        while (left := deadline - self._loop.time()) > 0:
            # Jitter keeps producers that lost one store together from coming back together. The last attempt is made
            # when the time is over, and none is given up before.
            await asyncio.sleep(min(left, pause * random.uniform(0.5, 1.0)))
            pause = min(2 * pause, LONGEST_PAUSE_S)
            try:
                return await _attempt(verb, self.transport, max(deadline, self._loop.time() + SHORTEST_ATTEMPT_S))
            except TransportUnavailableError as error:
                problem = str(error)
        # The message says it all; below it are only the transport's own doings.
        raise TransportUnavailableError(problem)


async def _attempt(verb: Callable[[Transport], Awaitable[T]], transport: Transport, deadline: float) -> T:
    limit = asyncio.timeout_at(deadline)
    try:
        async with limit:
            return await verb(transport)
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise TransportUnavailableError(_out_of_time(transport)) from exc


def _out_of_time(transport: Transport) -> str:
    return f"{transport.identity} did not answer in time"


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
