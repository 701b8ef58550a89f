"""Wakes other processes that use the same file, by unix datagram sockets in a private folder.

The folder stands in the system's one for temporary files, named by the user and by a hash of the database's real path.
Each process that wants messages has a socket there for each event loop with workers and one for all else, and beside it
a link for each kind of message and queue. Whoever sends finds the links, and removes those of a process that is gone.
Messages are hints: where the folder cannot be used, or two processes have different ones, workers still look for
themselves every ``poll_interval``.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from heracles.sqlite.inbox import Inbox
from heracles.sqlite.wake import Message

logger = logging.getLogger("heracles.sqlite")

IS_SUPPORTED = hasattr(socket, "AF_UNIX") and hasattr(os, "geteuid")
#: A folder's time of change may stand still for this long: what was listed within it may be out of date.
_LISTING_S = 0.05
#: How often a process looks whether its socket is still there: temporary files get cleaned away.
_RENEWAL_S = 5.0

_body_of = msgspec.json.Encoder().encode
_message_in = msgspec.json.Decoder(Message).decode


def folder_of(path: str) -> Path:
    """Where the sockets of that database's users are."""
    digest = hashlib.blake2s(os.path.realpath(path).encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"heracles-{os.geteuid()}" / digest


class SocketBell:
    """This process's sockets, and the way to the others'. Thread-safe; opened by the first wish for messages."""

    def __init__(self, path: str) -> None:
        self._folder = folder_of(path)
        self._receive: Callable[[Message], None] = lambda message: None
        self._lock = threading.Lock()
        # By the event loop that reads them; one by a thread.
        self._inboxes: dict[asyncio.AbstractEventLoop | None, Inbox] = {}
        self._outbox: socket.socket | None = None
        self._listed_at = 0
        self._listed: dict[str, list[str]] = {}
        self._renewed = time.monotonic()

    # ------------------------------------------------------------------------------------------------------ receiving

    @property
    def own_names(self) -> Sequence[str]:
        """This process, as others know it: by a name for each of its sockets."""
        return [inbox.name for inbox in tuple(self._inboxes.values())]

    def answer(self, receive: Callable[[Message], None]) -> None:
        """Pass each message on to that."""
        self._receive = receive

    def advertise(self, kind: str, queue: str, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Let others know that this process wants such messages, read by that loop or else by a thread."""
        with self._lock:
            inbox = self._inboxes.get(loop)
            if inbox is None:
                inbox = self._inboxes[loop] = Inbox(self._folder, self._hear, loop)
            try:
                inbox.advertise(_wish(kind, queue))
            except OSError as error:
                self._tell_silence(error)

    def withdraw(self, kind: str, queue: str, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """It wants them no more; undoes one call of ``advertise``."""
        with self._lock:
            inbox = self._inboxes.get(loop)
            if inbox is None:
                return
            inbox.withdraw(_wish(kind, queue))
            if not inbox.is_wanted:
                del self._inboxes[loop]
            if not self._inboxes:
                self._close_outbox()

    def renew(self) -> None:
        """Now and then, put back what was cleaned away."""
        now = time.monotonic()
        if now - self._renewed < _RENEWAL_S:
            return
        self._renewed = now
        with self._lock:
            try:
                for inbox in self._inboxes.values():
                    inbox.renew()
            except OSError as error:
                self._tell_silence(error)

    def _tell_silence(self, error: OSError) -> None:
        logger.warning("no wake-up between processes, they look every poll_interval: %s: %s", self._folder, error)

    def forsake(self) -> None:
        """In a forked child: let go of the parent's sockets and leave its files alone."""
        self._lock = threading.Lock()
        for inbox in self._inboxes.values():
            inbox.forsake()
        self._inboxes.clear()
        self._close_outbox()

    def close(self) -> None:
        """Remove this process from the folder."""
        with self._lock:
            for inbox in self._inboxes.values():
                inbox.close()
            self._inboxes.clear()
            self._close_outbox()

    def rest(self) -> None:
        """Nothing is to be sent for now."""
        with self._lock:
            self._close_outbox()

    def _close_outbox(self) -> None:
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            outbox.close()

    def _hear(self, body: bytes) -> None:
        try:
            self._receive(_message_in(body))
        except msgspec.DecodeError as error:
            logger.debug("a message that was none: %s", error)
        except Exception:
            # A hint may be missed, those after it may not.
            logger.exception("at a message of another process")

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self._folder / name).unlink()

    # -------------------------------------------------------------------------------------------------------- sending

    def names(self, kind: str, queue: str) -> Sequence[str]:
        """The other processes that want such messages."""
        with self._lock:
            own = self.own_names
            return tuple(name for name in self._listing().get(_wish(kind, queue), ()) if name not in own)

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
