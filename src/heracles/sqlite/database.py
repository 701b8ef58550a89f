"""One connection to one database file: created, checked and configured."""

import os
import sqlite3
import time
import uuid

from heracles.errors import TransportError
from heracles.sqlite.faults import damaged
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
#: How long an empty file is taken for one that another process is about to fill.
_CREATION_S = 0.5


class Database:
    """A connection, and the file that it stands for."""

    def __init__(self, path: str, *, sync_every_commit: bool, check: bool) -> None:
        self.path = path
        self._sync_every_commit = sync_every_commit
        self._check = check
        self.connection = self._connect()
        self._file = _identity(path)

    def _connect(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise TransportError(f"SQLite {sqlite3.sqlite_version} is too old: Heracles needs 3.35 or later")
        if not self.is_memory:
            _create(self.path)
        # No time-out: whoever uses the connection waits in steps, so that it can stop in between.
        connection = sqlite3.connect(
            self.path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=200
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
        connection.execute(SQL["sync_every_commit" if self._sync_every_commit else "sync_at_checkpoints"])
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
    def is_memory(self) -> bool:
        """Whether closing it loses it."""
        return self.path == MEMORY

    def is_current(self) -> bool:
        """Whether the path still leads to the file that was opened."""
        return self.is_memory or self._file == _identity(self.path)

    def close(self) -> None:
        """Close the connection; the last one to close folds the log into the file."""
        self.connection.close()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _value(connection: sqlite3.Connection, query: str) -> object:
    return connection.execute(SQL[query]).fetchone()[0]


def _create(path: str) -> None:
    """Make sure that the file exists, and that no log of a file that was deleted stands beside a new one."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        _await_creation(path)
        return
    except OSError as error:
        raise TransportError(
            f"{path} cannot be created: {error.strerror}: check that its folder exists and is writable"
        ) from error
    for rest in (path + "-wal", path + "-shm"):
        if os.path.lexists(rest):
            os.unlink(rest)


def _await_creation(path: str) -> None:
    end = time.monotonic() + _CREATION_S
    while os.path.isfile(path) and os.path.getsize(path) == 0 and time.monotonic() < end:
        time.sleep(0.005)


def _version(connection: sqlite3.Connection, path: str) -> int:
    """The schema version of a file of ours; 0 where it is new.

    Raises:
        TransportError: it belongs to another program, or to a later version of this one.
    """
    application, version = _value(connection, "application_id"), _value(connection, "schema_version")
    if application == 0 and version == 0 and _value(connection, "table_count") == 0:
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
