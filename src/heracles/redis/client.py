"""Calls on one server: the connection is opened when it is needed, and again when it broke."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from heracles.redis.wire import Argument, LostError, Wire

Command = tuple[Argument, ...]


class Client:
    """For one event loop. Concurrent calls share the connection and its round trips."""

    def __init__(self, dial: Callable[[], Awaitable[Wire]]) -> None:
        self._dial = dial
        self._wire: Wire | None = None
        self._dialling: asyncio.Task[Wire] | None = None
        self._is_closed = False

    async def call(self, *commands: Command, repeat: bool = True) -> list[Any]:
        """The replies, a Refusal where the server refused; the commands follow one another on one connection.

        A connection that turns out to be closed is opened again once. With ``repeat`` the commands are then sent again
        even if they may have been done.

        Raises:
            LostError: there is no connection, or no answer in time.
        """
        for is_last in (False, True):
            wire, is_new = await self._connected()
            try:
                futures = [wire.send(command) for command in commands]
            except LostError:
                # Found closed before anything was sent.
                if is_last or is_new:
                    raise
                continue
            try:
                return [await future for future in futures]
            except LostError:
                if is_last or is_new or not repeat or wire.is_late:
                    raise
        raise AssertionError("unreachable")

    @property
    def ready(self) -> Wire | None:
        """The connection, while it stands."""
        return self._wire if self._wire is not None and self._wire.is_open else None

    async def _connected(self) -> tuple[Wire, bool]:
        """The connection, and whether it is a new one."""
        if self._wire is not None and self._wire.is_open:
            return self._wire, False
        if self._is_closed:
            raise LostError("the transport was closed while it was used")
        if self._dialling is None:
            self._dialling = asyncio.get_running_loop().create_task(self._open())
        # Others wait for it too: a caller that is cancelled must not end it.
        return await asyncio.shield(self._dialling), True

    async def _open(self) -> Wire:
        try:
            self._wire = await self._dial()
            return self._wire
        finally:
            self._dialling = None

    @property
    def peer(self) -> tuple[str, int] | None:
        """Where it is connected to."""
        return self._wire.peer if self._wire is not None and self._wire.is_open else None

    def drop(self, why: str) -> None:
        """Leave the connection; the next call opens one."""
        if self._wire is not None:
            self._wire.drop(why)

    def drop_if_silent(self, seconds: float, why: str) -> None:
        """Leave a connection on which an answer has been waited for that long; calls under way open one, as they do
        when a connection turns out to be closed."""
        if self._wire is not None:
            self._wire.drop_if_silent(seconds, why)

    def close(self) -> None:
        """Close the connection for good; calls under way fail."""
        self._is_closed = True
        if self._dialling is not None:
            self._dialling.cancel()
        self.drop("closed by this side")
