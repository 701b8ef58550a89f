"""One connection to a server: commands go out as they come, replies are matched in order.

A caller that is cancelled leaves its reply to be read and dropped, so replies never cross. redis-py's own reading and
writing cost several times more.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

import hiredis

from heracles.errors import TransportUnavailableError
from heracles.redis.access import Access
from heracles.redis.refusals import Refusal

Argument = str | bytes | int | float
_NOTHING = object()
#: Where redis-py's option is None, which means for ever: nothing may wait for ever here.
LONGEST_WAIT_S = 5.0


class LostError(TransportUnavailableError):
    """The connection is gone; what was sent may or may not have been done."""


class Wire(asyncio.Protocol):
    """The protocol over one socket."""

    def __init__(self, where: str, timeout_s: float) -> None:
        self.where = where
        self.peer: tuple[str, int] = ("", 0)
        self._timeout_s = timeout_s
        self._on_message: Callable[[Any], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=Refusal, notEnoughData=_NOTHING)
        #: The futures of commands under way, and when each is too late.
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._lost: str | None = None
        #: It was given up because an answer did not come in time.
        self.is_late = False

    # ----------------------------------------------------------------------------------------------------- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        # uvloop's transport is no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand out the replies."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _NOTHING:
                self._receive(reply)
        except hiredis.ProtocolError as error:
            self.drop(f"its answer cannot be read: {error}")

    def _receive(self, reply: Any) -> None:
        if self._on_message is not None:
            self._on_message(reply)
        elif self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_result(reply)
        else:
            self.drop("it spoke without being asked")

    def eof_received(self) -> bool:
        """The other side has closed."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Every command under way has failed."""
        self._fail(str(exc) if exc else "the server closed the connection")

    # ------------------------------------------------------------------------------------------------------ commands

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent."""
        return self._lost is None and self._transport is not None and not self._transport.is_closing()

    def send(self, command: tuple[Argument, ...], extra_s: float = 0.0) -> "asyncio.Future[Any]":
        """The future of the reply, which is a Refusal where the server refused.

        ``extra_s`` is how long the server itself may take, on top of the time-out.

        Raises:
            LostError: the connection is gone, and nothing was sent.
        """
        transport, loop = self._transport, self._loop
        if transport is None or self._lost is not None or transport.is_closing():
            raise LostError(f"{self.where}: {self._lost or 'the connection is closed'}")
        future: asyncio.Future[Any] = loop.create_future()
        deadline = loop.time() + self._timeout_s + extra_s
        self._waiting.append((future, deadline))
        transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # floats too
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._check_time)
        return future

    def listen(self, on_message: Callable[[Any], None] | None) -> None:
        """From now on all that comes is a message; None tells that the connection is lost."""
        self._on_message = on_message

    def tell(self, command: tuple[Argument, ...]) -> None:
        """Send a command whose answer comes as a message."""
        if self._transport is not None and self.is_open:
            self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # floats too

    def _check_time(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        deadline = self._waiting[0][1]
        if deadline <= self._loop.time():
            self.is_late = True
            self.drop("no answer within the time-out")
        else:
            self._timer = self._loop.call_at(deadline, self._check_time)

    def drop_if_silent(self, seconds: float, why: str) -> None:
        """Close it if an answer has been waited for that long."""
        if self._waiting and self._loop.time() - (self._waiting[0][1] - self._timeout_s) >= seconds:
            self.drop(why)

    def drop(self, why: str = "closed by this side") -> None:
        """Close at once; commands under way fail."""
        self._fail(why)
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, why: str) -> None:
        self._lost = self._lost or why
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, deque()
        for future, _ in waiting:
            if not future.done():
                future.set_exception(LostError(f"{self.where}: {self._lost}"))
                # Whoever awaits it gets the error; a caller that is gone does not matter.
                future.exception()
        if self._on_message is not None:
            self._on_message(None)


def _seconds(value: float | None) -> float:
    return LONGEST_WAIT_S if value is None else value


async def open_wire(
    access: Access,
    where: str,
    address: tuple[str, int] | None = None,
    on_message: Callable[[Any], None] | None = None,
) -> Wire:
    """Connect, log in, select the database.

    Raises:
        LostError: it could not be reached, or not in time.
        Refusal: the server refused.
    """
    wire: Wire | None = None
    try:
        async with asyncio.timeout(_seconds(access.socket_connect_timeout)):
            wire = await _connect(access, where, address)
            await _greet(wire, access)
    except TimeoutError as error:
        _discard(wire)
        raise LostError(f"{where}: no connection within the time-out") from error
    except OSError as error:
        _discard(wire)
        raise LostError(f"{where}: cannot connect: {error.strerror or error}") from error
    except BaseException:
        _discard(wire)
        raise
    wire.listen(on_message)
    return wire


def _discard(wire: Wire | None) -> None:
    if wire is not None:
        wire.drop()


async def _connect(access: Access, where: str, address: tuple[str, int] | None) -> Wire:
    loop = asyncio.get_running_loop()

    def make() -> Wire:
        return Wire(where, _seconds(access.socket_timeout))

    if access.path is not None:
        _, wire = await loop.create_unix_connection(make, access.path)
        return wire
    host, port = address or (access.host, access.port)
    context = access.tls() if access.tls is not None else None
    transport, wire = await loop.create_connection(make, host, port, ssl=context)
    _tune(transport.get_extra_info("socket"))
    wire.peer = (host, port)
    return wire


def _tune(sock: socket.socket | None) -> None:
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A half-open connection on which nothing is asked is noticed all the same.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


async def _greet(wire: Wire, access: Access) -> None:
    commands: list[tuple[Argument, ...]] = []
    if credentials := await _credentials(access):
        commands.append(("AUTH", *credentials))
    if access.client_name:
        commands.append(("CLIENT", "SETNAME", access.client_name))
    if access.db:
        commands.append(("SELECT", access.db))
    for reply in await _all(wire.send(command) for command in commands):
        if isinstance(reply, Refusal):
            raise reply


async def _credentials(access: Access) -> tuple[str, ...]:
    if access.credential_provider is not None:
        found = await access.credential_provider.get_credentials_async()
        return tuple(str(part) for part in found)
    if access.password:
        return (access.username, access.password) if access.username else (access.password,)
    return ()


async def _all(futures: "Iterable[asyncio.Future[Any]]") -> list[Any]:
    return [await future for future in list(futures)]
