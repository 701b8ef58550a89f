"""Errors of SQLite and of the file system, said in the words of ``heracles.errors``."""

import sqlite3
from collections.abc import Mapping

from heracles.errors import TransportError, TransportUnavailableError

#: The low byte of an error code is its kind; the rest says more than anybody here decides by.
_KIND = 0xFF


_DAMAGED = "{path} is damaged and was left as it is: restore a backup, or move it away to begin anew ({error})"
_FOREIGN = "{path} is no SQLite database and was left as it is: give another path or move it away"
_FULL = "no space is left to write {path}: free some, then it goes on by itself"
_READ_ONLY = "{path} cannot be written: make the file and its folder writable for this user ({error})"
_CLOSED = "{path} cannot be opened: check that its folder exists and is writable ({error})"
_CAUSES: Mapping[int, tuple[type[TransportError], str]] = {
    sqlite3.SQLITE_BUSY: (TransportUnavailableError, "{path} is locked by another program: {error}"),
    sqlite3.SQLITE_LOCKED: (TransportUnavailableError, "{path} is locked by another program: {error}"),
    sqlite3.SQLITE_IOERR: (TransportUnavailableError, "{path} could not be read or written: {error}"),
    sqlite3.SQLITE_FULL: (TransportError, _FULL),
    sqlite3.SQLITE_READONLY: (TransportError, _READ_ONLY),
    sqlite3.SQLITE_PERM: (TransportError, _READ_ONLY),
    sqlite3.SQLITE_AUTH: (TransportError, _READ_ONLY),
    sqlite3.SQLITE_CANTOPEN: (TransportError, _CLOSED),
    sqlite3.SQLITE_CORRUPT: (TransportError, _DAMAGED),
    sqlite3.SQLITE_NOTADB: (TransportError, _FOREIGN),
}


def kind_of(error: sqlite3.Error) -> int:
    """The primary error code; 0 where the module itself raised."""
    return getattr(error, "sqlite_errorcode", 0) & _KIND


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else holds the lock, so that waiting may help."""
    return kind_of(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


def translated(error: sqlite3.Error, path: str) -> TransportError:
    """The error that callers get, naming the file and the way out."""
    cause, words = _CAUSES.get(kind_of(error), (TransportError, "{path}: {error}"))
    return cause(words.format(path=path, error=error))


def unwritable(path: str, error: OSError) -> TransportError:
    """The system lets this user only read the file, or what belongs to it."""
    return TransportError(_READ_ONLY.format(path=path, error=error.strerror))


def damaged(path: str, what: str) -> TransportError:
    """The file's pages contradict each other."""
    return TransportError(_DAMAGED.format(path=path, error=what))


def foreign(path: str) -> TransportError:
    """The file is something else."""
    return TransportError(_FOREIGN.format(path=path))
