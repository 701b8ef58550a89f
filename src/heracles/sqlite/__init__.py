"""The transport on one SQLite file."""

from heracles.sqlite.transport import SqliteTransport

__all__ = ["SqliteTransport"]
