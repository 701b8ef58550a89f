"""A TCP proxy that a test can cut, freeze, slow down or make lose answers, to stand for a bad network."""

import asyncio
import enum
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from tests.servers import HOST, free_port

CHUNK = 65_536


class Link(enum.Enum):
    """How the way between client and server is."""

    UP = "up"
    CUT = "cut"
    """Connections are reset, new ones too."""
    HALF_OPEN = "half open"
    """Connections stand and take bytes, nothing passes either way."""
    REPLIES_LOST = "replies lost"
    """Requests reach the server, answers reach nobody."""


class Proxy:
    """Listens on a port of its own and passes on to ``target_port``, from a thread with an event loop of its own."""

    def __init__(self, target_port: int, target_host: str = HOST) -> None:
        self.port = free_port()
        self._target = (target_host, target_port)
        self._link = Link.UP
        self._delay_s = 0.0
        #: How often the connections that stood have fallen silent.
        self._silenced = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, as a Redis URL."""
        return f"redis://{HOST}:{self.port}"

    def start(self) -> "Proxy":
        """Start to listen."""
        self._thread.start()
        self._run(self._listen())
        return self

    def stop(self) -> None:
        """Close everything; safe twice."""
        if self._thread.is_alive():
            self._run(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> "Proxy":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def cut(self) -> None:
        """Reset all connections and refuse new ones, until ``restore``."""
        self._set(Link.CUT)

    def half_open(self) -> None:
        """Let nothing through and close nothing, until ``restore``. What was sent meanwhile is lost."""
        self._set(Link.HALF_OPEN)

    def silence(self) -> None:
        """Let nothing more through on the connections that stand; new ones are served."""
        self._silenced += 1

    def lose_replies(self) -> None:
        """Let requests through and drop the answers, until ``restore``."""
        self._set(Link.REPLIES_LOST)

    def restore(self) -> None:
        """Serve again. Connections that missed bytes are reset."""
        missed = self._link is not Link.UP
        self._set(Link.UP)
        if missed:
            self.reset()

    def reset(self) -> None:
        """Reset the connections that stand; new ones are served as before."""
        self._call(self._abort_all)

    def delay(self, delay_ms: float) -> None:
        """Hold each chunk back that long, each way."""
        self._delay_s = delay_ms / 1000

    def _set(self, link: Link) -> None:
        self._link = link
        if link is Link.CUT:
            self.reset()

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _call(self, function: Callable[[], None]) -> None:
        done: Future[None] = Future()

        def call() -> None:
            function()
            done.set_result(None)

        self._loop.call_soon_threadsafe(call)
        done.result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)

    async def _close(self) -> None:
        self._server.close()
        self._abort_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _abort_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._link is Link.CUT:
            writer.transport.abort()
            return
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there_writer}
        self._pump(reader, there_writer, writer, reply=False)
        self._pump(there_reader, writer, there_writer, reply=True)

    def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter, *, reply: bool
    ) -> None:
        task = self._loop.create_task(self._copy(reader, writer, back, reply=reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter, *, reply: bool
    ) -> None:
        began = self._silenced
        try:
            while chunk := await reader.read(CHUNK):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                if self._silenced != began:
                    continue
                if self._link is Link.UP or (self._link is Link.REPLIES_LOST and not reply):
                    writer.write(chunk)
                    await writer.drain()
        except OSError:
            pass  # the other side went away, which ends this connection as it should
        finally:
            self._writers -= {writer, back}
            writer.transport.abort()
            back.transport.abort()
