"""A socket of this process on which others tell it what it wants to hear."""

import asyncio
import contextlib
import os
import secrets
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

_LARGEST_MESSAGE = 65_536
#: Messages that an event loop reads before others have their turn.
_READ_AT_ONCE = 100


class Inbox:
    """Its socket, made with the first wish and closed with the last one, and a link beside it for each wish.

    An event loop reads what is for its listeners: from a thread that waits for the socket, each message would take two
    threads to wake and a tenth of a millisecond more. Without a loop a thread reads it. Not thread-safe but for that.
    """

    def __init__(self, folder: Path, hear: Callable[[bytes], None], loop: asyncio.AbstractEventLoop | None) -> None:
        self.name = f"{os.getpid()}-{secrets.token_hex(3)}"
        self._folder = folder
        self._hear = hear
        self._loop = loop
        self._wishes: dict[str, int] = {}
        self._socket: socket.socket | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether it has any wish."""
        return bool(self._wishes)

    def advertise(self, wish: str) -> None:
        """Let others know of a wish, as far as possible.

        Raises:
            OSError: they could not be let know.
        """
        self._wishes[wish] = self._wishes.get(wish, 0) + 1
        self._publish()

    def withdraw(self, wish: str) -> None:
        """Undo one call of ``advertise``."""
        if wish not in self._wishes:
            return
        self._wishes[wish] -= 1
        if self._wishes[wish] == 0:
            del self._wishes[wish]
            self._remove(f"{wish}.{self.name}")
        if not self._wishes:
            self._hang_up()

    def renew(self) -> None:
        """Put it back where it was cleaned away.

        Raises:
            OSError: it is not possible.
        """
        if self._socket is not None and not (self._folder / self.name).exists():
            self._hang_up()
            self._publish()

    def _publish(self) -> None:
        """Make the socket and the links that are missing."""
        if self._socket is None:
            _make_private(self._folder)
            self._socket = self._listen()
        for wish in self._wishes:
            link = self._folder / f"{wish}.{self.name}"
            if not link.is_symlink():
                link.symlink_to(self.name)

    def close(self) -> None:
        """Remove it from the folder."""
        for wish in self._wishes:
            self._remove(f"{wish}.{self.name}")
        self._wishes.clear()
        self._hang_up()

    def forsake(self) -> None:
        """In a forked child: let go of the parent's socket. Its files stay, and its loop goes on reading."""
        if self._socket is not None:
            self._socket.close()

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self._folder / name).unlink()

    def _hang_up(self) -> None:
        one, self._socket = self._socket, None
        if one is None:
            return
        if self._loop is not None:
            self._in_loop(self._detach, one)
        else:
            self._end_thread(one)
        self._remove(self.name)
        # Of the last one that goes, the folder too.
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _listen(self) -> socket.socket:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            one.bind(str(self._folder / self.name))
        except OSError:
            one.close()
            raise
        if self._loop is not None:
            one.setblocking(False)
            self._in_loop(self._attach, one)
        else:
            threading.Thread(target=self._serve, args=(one,), name="heracles wake-up", daemon=True).start()
        return one

    # -------------------------------------------------------------------------------------------------- by event loop

    def _in_loop(self, do: Callable[[socket.socket], None], one: socket.socket) -> None:
        assert self._loop is not None
        if running_loop() is self._loop:
            do(one)
            return
        try:
            self._loop.call_soon_threadsafe(do, one)
        except RuntimeError:
            # It was closed: nobody listens there.
            one.close()

    def _attach(self, one: socket.socket) -> None:
        assert self._loop is not None
        self._loop.add_reader(one, self._read, one)

    def _detach(self, one: socket.socket) -> None:
        assert self._loop is not None
        self._loop.remove_reader(one)
        one.close()

    def _read(self, one: socket.socket) -> None:
        for _ in range(_READ_AT_ONCE):
            try:
                body = one.recv(_LARGEST_MESSAGE)
            except OSError:
                # Usually as there is no more.
                return
            self._hear(body)

    # ----------------------------------------------------------------------------------------------------- by thread

    def _serve(self, one: socket.socket) -> None:
        while True:
            try:
                body = one.recv(_LARGEST_MESSAGE)
            except OSError:
                return
            if not body:
                one.close()
                return
            self._hear(body)

    def _end_thread(self, one: socket.socket) -> None:
        """The thread closes the socket."""
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            # macOS: only a connected socket can be shut down. An empty message ends it too.
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
                other.sendto(b"", str(self._folder / self.name))


def running_loop() -> asyncio.AbstractEventLoop | None:
    """That of this thread, if one runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _make_private(folder: Path) -> None:
    """Make the folder; whoever could write there could wake and count this user's workers."""
    for one in (folder.parent, folder):
        with contextlib.suppress(FileExistsError):
            one.mkdir(mode=0o700)
        found = one.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(f"{one} is not a private folder of this user")
