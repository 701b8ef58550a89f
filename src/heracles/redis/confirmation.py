"""Whether what a call has changed has survived what ``durability`` asks for."""

from collections.abc import Coroutine
from typing import Any

from heracles.errors import TransportError
from heracles.redis.client import Command
from heracles.redis.store import Store
from heracles.redis.wire import Argument

_SHORT = {
    "replicated": "no replica has confirmed that in time (durability=replicated)",
    "fsync": "that is not known to be on disk in time (durability=fsync)",
}


class Confirmation:
    """Of the scripts by which one call changes a queue, each on the server that has run it.

    After the first that was not confirmed no other is waited for: each would take as long. With ``is_wanted`` False
    none is, as nobody would be told.
    """

    def __init__(self, store: Store, *, is_wanted: bool = True) -> None:
        self._store = store
        self._is_wanted = is_wanted
        self._is_short = False

    def run(self, name: str, queue: str, *arguments: Argument) -> Coroutine[Any, Any, Any]:
        """The answer of a script that bears being repeated, to be awaited.

        Its first argument is '1' if it has to write also where there is nothing to change: what is waited for are the
        writes of a connection, and by a repeated call nothing may be left to be done.
        """
        if self._store.settings.durability == "memory":
            # Not awaited here, for each level of awaiting costs every dispatch.
            return self._store.run(name, queue, "", *arguments)
        return self._run_and_wait(name, queue, *arguments)

    async def _run_and_wait(self, name: str, queue: str, *arguments: Argument) -> Any:
        wait = await self._command()
        if wait is None:
            return await self._store.run(name, queue, "", *arguments)
        answer, reached = await self._store.run(name, queue, "1", *arguments, then=wait)
        # WAITAOF answers with two numbers, of which the first speaks of the server's own disk.
        self._is_short = (reached if isinstance(reached, int) else reached[0]) < 1
        return answer

    async def of_earlier_calls(self, queue: str) -> None:
        """The same of all that was changed in the queue before: some of it may have been left unconfirmed."""
        if await self._command() is not None:
            await self.run("gate", queue, "", "")

    async def _command(self) -> Command | None:
        return await self._store.durable() if self._is_wanted and not self._is_short else None

    def check(self, done: str) -> None:
        """Say that it was done, if not all of it was confirmed.

        Raises:
            TransportError: with ``done`` and what is missing.
        """
        if self._is_short:
            raise TransportError(f"{done}, but {_SHORT[self._store.settings.durability]}")
