"""One connection to one database file: created, checked and configured."""

import os
import sqlite3
import time
import uuid
from pathlib import Path

from heracles.errors import TransportError
from heracles.sqlite.faults import damaged, foreign, unwritable
from heracles.sqlite.queries import SCHEMA, SQL

MEMORY = ":memory:"
#: "Hera" in ASCII, in the file's header: this file is ours.
APPLICATION_ID = 0x48657261
#: Raised with every change of ``schema.sql`` that an older file lacks; ``_UPGRADES`` leads there.
SCHEMA_VERSION = 1
#: The statements that lead from the version before to each version.
_UPGRADES: dict[int, tuple[str, ...]] = {1: tuple(SCHEMA)}
#: RETURNING and UPDATE … FROM.
OLDEST_SQLITE = (3, 35, 0)
#: Up to this size all pages of a file are checked when it is opened: about 50 ms.
_CHECKED_BYTES = 32 << 20
#: No SQLite database is smaller, unless it is empty.
_SMALLEST_BYTES = 512
#: Writes what a file holds to the disk; its times may wait, where the system can tell them apart.
_sync = getattr(os, "fdatasync", os.fsync)
#: A folder's time of change may stand still for so long, where it is kept in parts of a second or in whole ones (two of
#: them at most): what was seen in it sooner may have changed since.
_SETTLED_S, _COARSELY_SETTLED_S = 0.05, 2.1
#: How long an empty file is taken for one that another process is about to fill.
_CREATION_S = 0.5


class FileReplacedError(Exception):
    """The file was deleted or replaced while it was opened: open it again."""


class Database:
    """A connection, and the file that it stands for."""

    def __init__(self, path: str, *, check: bool) -> None:
        self.path = path
        self._check = check
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise TransportError(f"SQLite {sqlite3.sqlite_version} is too old: Heracles needs 3.35 or later")
        if not self.is_memory:
            _create(path)
        self._files = {path: _identity(path)}
        #: The folder's state, with which all of them were in their place.
        self._folder: tuple[int, ...] | None = None
        try:
            self.connection = self._connect()
        except sqlite3.Error as error:
            if not self.is_current():
                raise FileReplacedError(path) from error
            raise
        # They exist as long as a connection is open; without them, processes do not see each other.
        self._files |= {name: _identity(name) for name in _beside(path)}
        if not self.is_current():
            self.connection.close()
            raise FileReplacedError(path)
        self._log = None if self.is_memory else self._open_log()

    def _open_log(self) -> int:
        """To sync it. SQLite would open one that others may write alone, and find out at the first write."""
        try:
            return os.open(_beside(self.path)[0], os.O_RDWR)
        except OSError as error:
            self.connection.close()
            if isinstance(error, FileNotFoundError):
                raise FileReplacedError(self.path) from error
            raise unwritable(self.path, error) from error

    def _connect(self) -> sqlite3.Connection:
        # No time-out: whoever uses the connection waits in steps, so that it can stop in between.
        connection = sqlite3.connect(
            self._url, uri=True, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=200
        )
        try:
            self._configure(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _configure(self, connection: sqlite3.Connection) -> None:
        version = _version(connection, self.path)
        if not self.is_memory:
            self._use_wal(connection)
        connection.execute(SQL["sync_at_checkpoints"])
        connection.execute(SQL["checkpoint_late"])
        connection.execute(SQL["bound_log"])
        connection.execute(SQL["temporary_in_memory"])
        if version < SCHEMA_VERSION:
            _upgrade(connection, self.path)
        elif self._check and not self.is_memory and os.stat(self.path).st_size <= _CHECKED_BYTES:
            _check(connection, self.path)

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        if _value(connection, "journal_mode") != "wal" and _value(connection, "use_wal") != "wal":
            raise TransportError(f"{self.path} is on a file system that cannot share memory: put it on a local disk")

    @property
    def _url(self) -> str:
        """Says that SQLite is not to make the file itself."""
        return self.path if self.is_memory else Path(self.path).as_uri() + "?mode=rw"

    @property
    def is_memory(self) -> bool:
        """Whether closing it loses it."""
        return self.path == MEMORY

    def sync(self) -> None:
        """Wait until all that was committed is on disk.

        SQLite would do so within the commit, with the write lock held and before anybody can be woken.
        """
        if self._log is not None:
            _sync(self._log)

    def is_current(self) -> bool:
        """Whether the paths still lead to the files that were opened.

        As long as the folder is unchanged they do. Where the log itself is looked at, the next commit has to write down
        its time of change as well: of dispatches one by one, that took an eighth.
        """
        if self.is_memory:
            return True
        folder = _settled_state(os.path.dirname(self.path))
        if folder is not None and folder == self._folder:
            return True
        is_current = all(identity is not None and identity == _identity(name) for name, identity in self._files.items())
        self._folder = folder if is_current else None
        return is_current

    def close(self) -> None:
        """Close the connection; the last one to close folds the log into the file."""
        self.connection.close()
        log, self._log = self._log, None
        if log is not None:
            os.close(log)

    def discard_log(self) -> None:
        """Once the file was replaced: its log would be taken for that of the file in its place."""
        if self._files[self.path] == _identity(self.path):
            return
        for name in _beside(self.path):
            identity = self._files.get(name)
            if identity is not None and identity == _identity(name):
                os.unlink(name)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _settled_state(folder: str) -> tuple[int, ...] | None:
    """What is another once anything in the folder was made, removed or renamed; None where it may be the same."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    is_coarse = found.st_mtime_ns % 1_000_000_000 == 0
    age_s = time.time() - found.st_mtime
    if age_s < (_COARSELY_SETTLED_S if is_coarse else _SETTLED_S):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _value(connection: sqlite3.Connection, query: str) -> object:
    return connection.execute(SQL[query]).fetchone()[0]


def _create(path: str) -> None:
    """Make sure that the file exists, and that no log of a file that was deleted stands beside a new one."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        _await_creation(path)
        _refuse_foreign(path)
        return
    except OSError as error:
        raise TransportError(
            f"{path} cannot be created: {error.strerror}: check that its folder exists and is writable"
        ) from error
    for rest in _beside(path):
        if os.path.lexists(rest):
            os.unlink(rest)


def _beside(path: str) -> tuple[str, str]:
    """The log of what is not yet in the file, and its index that processes share."""
    return path + "-wal", path + "-shm"


def _await_creation(path: str) -> None:
    end = time.monotonic() + _CREATION_S
    while os.path.isfile(path) and os.path.getsize(path) == 0 and time.monotonic() < end:
        time.sleep(0.005)


def _refuse_foreign(path: str) -> None:
    """SQLite takes a file of a few bytes for an empty one, and would write over it.

    The file is not opened for this: closing it would drop the locks of every connection that this process has to it.
    """
    if os.path.isfile(path) and 0 < os.path.getsize(path) < _SMALLEST_BYTES:
        raise foreign(path)


def _version(connection: sqlite3.Connection, path: str) -> int:
    """The schema version of a file of ours; 0 where it is new.

    Raises:
        TransportError: it belongs to another program, or to a later version of this one.
    """
    # In this order: another process may fill the file in between, and what is read last says so.
    tables, version = _value(connection, "table_count"), _value(connection, "schema_version")
    application = _value(connection, "application_id")
    if application == 0 and version == 0 and tables == 0:
        return 0
    if application != APPLICATION_ID:
        raise TransportError(
            f"{path} is the database of another program and was left as it is: give another path or move it away"
        )
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise TransportError(f"{path} was written by a later version of Heracles: upgrade heracles-jobs")
    return version


def _upgrade(connection: sqlite3.Connection, path: str) -> None:
    """Bring an older or empty file to this version, in one transaction."""
    connection.execute(SQL["begin_write"])
    try:
        # Another process may have been faster.
        for version in range(_version(connection, path) + 1, SCHEMA_VERSION + 1):
            for statement in _UPGRADES[version]:
                connection.execute(statement)
        connection.execute(SQL["name_store"], {"id": uuid.uuid4().hex[:12]})
        connection.execute(f"{SQL['application_id']} = {APPLICATION_ID}")
        connection.execute(f"{SQL['schema_version']} = {SCHEMA_VERSION}")
        connection.execute(SQL["commit"])
    except BaseException:
        if connection.in_transaction:
            connection.execute(SQL["rollback"])
        raise


def _check(connection: sqlite3.Connection, path: str) -> None:
    verdict = _value(connection, "check_pages")
    if verdict != "ok":
        raise damaged(path, str(verdict))
