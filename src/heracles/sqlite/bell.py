"""Wakes other processes that use the same file, by unix datagram sockets in a private folder.

The folder stands in the system's one for temporary files, named by the user and by a hash of the database's real path.
Each process that wants messages has one socket there, and beside it a link for each kind of message and queue. Whoever
sends finds the links, and removes those of a process that is gone. Messages are hints: where the folder cannot be used,
or two processes have different ones, workers still look for themselves every ``poll_interval``.
"""

import contextlib
import hashlib
import logging
import os
import secrets
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from heracles.sqlite.wake import Message

logger = logging.getLogger("heracles.sqlite")

IS_SUPPORTED = hasattr(socket, "AF_UNIX") and hasattr(os, "geteuid")
#: A folder's time of change may stand still for this long: what was listed within it may be out of date.
_LISTING_S = 0.05
#: How often a process looks whether its socket is still there: temporary files get cleaned away.
_RENEWAL_S = 5.0
_LARGEST_MESSAGE = 65_536

_body_of = msgspec.json.Encoder().encode
_message_in = msgspec.json.Decoder(Message).decode


def folder_of(path: str) -> Path:
    """Where the sockets of that database's users are."""
    digest = hashlib.blake2s(os.path.realpath(path).encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"heracles-{os.geteuid()}" / digest


class SocketBell:
    """This process's socket, and the way to the others'. Thread-safe; opened by the first wish for messages."""

    def __init__(self, path: str) -> None:
        self.name = f"{os.getpid()}-{secrets.token_hex(3)}"
        self._folder = folder_of(path)
        self._receive: Callable[[Message], None] = lambda message: None
        self._lock = threading.Lock()
        self._wishes: dict[str, int] = {}
        self._inbox: socket.socket | None = None
        self._outbox: socket.socket | None = None
        self._listed_at = 0
        self._listed: dict[str, list[str]] = {}
        self._renewed = time.monotonic()

    # ------------------------------------------------------------------------------------------------------ receiving

    def answer(self, receive: Callable[[Message], None]) -> None:
        """Pass each message on to that."""
        self._receive = receive

    def advertise(self, kind: str, queue: str) -> None:
        """Let others know that this process wants such messages."""
        with self._lock:
            wish = _wish(kind, queue)
            self._wishes[wish] = self._wishes.get(wish, 0) + 1
            self._publish()

    def withdraw(self, kind: str, queue: str) -> None:
        """It wants them no more; undoes one call of ``advertise``."""
        with self._lock:
            wish = _wish(kind, queue)
            if wish not in self._wishes:
                return
            self._wishes[wish] -= 1
            if self._wishes[wish] == 0:
                del self._wishes[wish]
                self._remove(f"{wish}.{self.name}")
            if not self._wishes:
                self._hang_up()

    def renew(self) -> None:
        """Now and then, put back what was cleaned away."""
        now = time.monotonic()
        if now - self._renewed < _RENEWAL_S:
            return
        self._renewed = now
        with self._lock:
            if self._inbox is not None and not (self._folder / self.name).exists():
                self._hang_up()
                self._publish()

    def forsake(self) -> None:
        """In a forked child: let go of the parent's sockets and leave its files alone."""
        self._lock = threading.Lock()
        self._wishes.clear()
        for one in (self._inbox, self._outbox):
            if one is not None:
                one.close()

    def close(self) -> None:
        """Remove this process from the folder."""
        with self._lock:
            for wish in self._wishes:
                self._remove(f"{wish}.{self.name}")
            self._wishes.clear()
            self._hang_up()

    def rest(self) -> None:
        """Nothing is to be sent for now."""
        with self._lock:
            self._close_outbox()

    def _close_outbox(self) -> None:
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            outbox.close()

    def _publish(self) -> None:
        """Make the socket and the links that are missing."""
        try:
            if self._inbox is None:
                _make_private(self._folder)
                self._inbox = self._listen()
            for wish in self._wishes:
                link = self._folder / f"{wish}.{self.name}"
                if not link.is_symlink():
                    link.symlink_to(self.name)
        except OSError as error:
            logger.warning("no wake-up between processes, they look every poll_interval: %s: %s", self._folder, error)

    def _listen(self) -> socket.socket:
        inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            inbox.bind(str(self._folder / self.name))
        except OSError:
            inbox.close()
            raise
        threading.Thread(target=self._serve, args=(inbox,), name="heracles wake-up", daemon=True).start()
        return inbox

    def _serve(self, inbox: socket.socket) -> None:
        while True:
            try:
                body = inbox.recv(_LARGEST_MESSAGE)
            except OSError:
                return
            if not body:
                inbox.close()
                return
            try:
                self._receive(_message_in(body))
            except msgspec.DecodeError as error:
                logger.debug("a message that was none: %s", error)
            except Exception:
                # A hint may be missed, those after it may not.
                logger.exception("at a message of another process")

    def _hang_up(self) -> None:
        """End the thread that receives; it closes its socket."""
        inbox, self._inbox = self._inbox, None
        if inbox is None:
            self._close_outbox()
            return
        try:
            inbox.shutdown(socket.SHUT_RDWR)
        except OSError:
            # macOS: only a connected socket can be shut down. An empty message ends it too.
            self._send(b"", self.name)
        self._close_outbox()
        self._remove(self.name)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self._folder / name).unlink()

    # -------------------------------------------------------------------------------------------------------- sending

    def names(self, kind: str, queue: str) -> Sequence[str]:
        """The other processes that want such messages."""
        with self._lock:
            return tuple(name for name in self._listing().get(_wish(kind, queue), ()) if name != self.name)

    def send(self, name: str, message: Message) -> bool:
        """Whether that process got it; one that is gone is removed."""
        with self._lock:
            return self._send(_body_of(message), name)

    def _send(self, body: bytes, name: str) -> bool:
        if self._outbox is None:
            self._outbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._outbox.setblocking(False)
        try:
            self._outbox.sendto(body, f"{self._folder}/{name}")
        except BlockingIOError:
            # Its socket is full of hints that it has not read yet.
            return True
        except (ConnectionRefusedError, FileNotFoundError):
            self._bury(name)
            return False
        except OSError as error:
            logger.debug("waking %s: %s", name, error)
            return False
        return True

    def _listing(self) -> dict[str, list[str]]:
        try:
            changed_at = os.stat(self._folder).st_mtime_ns
            if changed_at != self._listed_at:
                self._listed = _list(self._folder)
                fresh = time.time_ns() - changed_at < _LISTING_S * 1e9
                self._listed_at = 0 if fresh else changed_at
        except OSError:
            return {}
        return self._listed

    def _bury(self, name: str) -> None:
        with contextlib.suppress(OSError):
            for wish, names in _list(self._folder).items():
                if name in names:
                    self._remove(f"{wish}.{name}")
        self._remove(name)


@lru_cache(1000)
def _wish(kind: str, queue: str) -> str:
    """The first part of a link's name: short, as paths of sockets are limited to about 100 bytes."""
    return kind + hashlib.blake2s(queue.encode(), digest_size=5).hexdigest()


def _list(folder: Path) -> dict[str, list[str]]:
    listed: dict[str, list[str]] = {}
    for name in os.listdir(folder):
        wish, dot, process = name.partition(".")
        if dot:
            listed.setdefault(wish, []).append(process)
    return listed


def _make_private(folder: Path) -> None:
    """Make the folder; whoever could write there could wake and count this user's workers."""
    for one in (folder.parent, folder):
        with contextlib.suppress(FileExistsError):
            one.mkdir(mode=0o700)
        found = one.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(f"{one} is not a private folder of this user")
