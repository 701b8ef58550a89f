"""What may be left in a store when all jobs have ended: looked up behind the transport's back."""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from heracles.sqlite.rows import State
from tests.servers import Server

#: Kinds of keys that stand for something unfinished.
_UNFINISHED = ("leases", "scheduled", "delayed", "waiting", "returned", "foreign", "overlap", "lock")
#: Kinds of keys that have a time to live once their job has ended.
_MORTAL = ("status", "payload", "result", "dispatch", "jobs", "cool")
_KIND = re.compile(rb"elysium:heracles:(\w+):")


def in_redis(servers: Sequence[Server]) -> list[str]:
    """In words; ``servers``: the masters."""
    return [found for server in servers for found in _on_server(server)]


def _on_server(server: Server) -> Iterator[str]:
    with server.client() as client:
        for key in client.scan_iter(count=1000):
            match = _KIND.match(key)
            kind = match[1].decode() if match else ""
            if kind in _UNFINISHED:
                yield f"{key.decode()} is left"
            elif kind in _MORTAL and client.ttl(key) == -1:
                yield f"{key.decode()} has no time to live"


def in_sqlite(path: Path) -> list[str]:
    """In words."""
    connection = sqlite3.connect(path, timeout=10)
    try:
        rows = connection.execute("SELECT dispatch_id, state, status FROM jobs WHERE state <> ?", (State.ENDED,))
        return [f"{dispatch_id} is in state {state}, status {status}" for dispatch_id, state, status in rows]
    finally:
        connection.close()
