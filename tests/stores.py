"""The stores that one suite runs on: where a test's fresh store is, and what makes transports on it."""

import itertools
import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from redis.exceptions import MovedError

from heracles.redis import Redis, RedisTransport
from heracles.sqlite import SqliteTransport
from heracles.transport import Transport
from tests.servers import Cluster, MissingServerError, Server, redis_6, redis_7, valkey

SQLITE_MEMORY, SQLITE_FILE = "sqlite-memory", "sqlite-file"
REDIS_6, REDIS_7, VALKEY, CLUSTER = "redis-6.2", "redis-7", "valkey", "cluster"
#: In the order in which tests run.
STORES = (SQLITE_MEMORY, SQLITE_FILE, REDIS_6, REDIS_7, CLUSTER)
EVERY_STORE = (*STORES, VALKEY)
SINGLE_REDIS = (REDIS_6, REDIS_7, VALKEY)
#: Each finds a server program, or raises MissingServerError.
PROGRAMS: dict[str, Callable[[], Path]] = {REDIS_6: redis_6, REDIS_7: redis_7, VALKEY: valkey}
EVERY_REDIS = (*SINGLE_REDIS, CLUSTER)

#: Keys that stay without a time to live when all queues have been emptied, and why. The prefix is cut off.
PERMANENT = (
    r":queues",  # the names of all queues
    r":workers",  # an index of the worker hashes, trimmed whenever it is read
    r":meta:.*",  # gates, counters and the event sequence of a queue
    r":events:.*",  # the last 10,000 changes
    r":stream:.*",  # an empty stream with its consumer group
    r":priorities:.*",  # which priorities have a stream
)

_counter = itertools.count(1)


class Store:
    """A fresh store for one test. ``kind`` is one of the names above."""

    kind: str
    #: Whether transports made one after the other see the same jobs.
    is_shared = True

    def transport(self, **options: Any) -> Transport:
        """A new transport object on this store."""
        raise NotImplementedError

    def empty(self) -> None:
        """Remove everything behind the transport's back."""
        raise NotImplementedError

    def check(self) -> None:
        """Assert that nothing is left that ought not to be, once all queues have been emptied."""

    def close(self) -> None:
        """Remove what the test has left."""


class SqliteStore(Store):
    """One database file, or with ``:memory:`` whatever each transport keeps to itself."""

    def __init__(self, kind: str, path: Path | None) -> None:
        self.kind = kind
        self.path = path
        self.is_shared = path is not None

    def transport(self, **options: Any) -> Transport:
        return SqliteTransport(path=str(self.path or ":memory:"), **options)

    def empty(self) -> None:
        raise NotImplementedError


class RedisStore(Store):
    """A key prefix on a server or cluster."""

    def __init__(self, kind: str, connection: str, servers: list[Server]) -> None:
        self.kind = kind
        self.connection = connection
        self.servers = servers
        self.prefix = f"test{os.getpid()}:{next(_counter)}"

    def transport(self, **options: Any) -> Transport:
        return RedisTransport(connection=self.connection, key_prefix=self.prefix, **options)

    def keys(self) -> Mapping[str, float]:
        """Each key with its time to live in seconds, infinite where it has none."""
        found = {}
        for server in self.servers:
            with server.client() as client:
                keys = list(client.scan_iter(match=f"{self.prefix}:*", count=1000))
                for key in keys:
                    left = client.pttl(key)
                    found[key.decode()] = float("inf") if left == -1 else left / 1000
        return found

    def immortal(self) -> list[str]:
        """The keys without a time to live, sorted."""
        return sorted(key for key, left in self.keys().items() if left == float("inf"))

    def empty(self) -> None:
        for server in self.servers:
            server.command("FLUSHALL")

    def check(self) -> None:
        immortal = self.immortal()
        forgotten = [key for key in immortal if not self._is_permanent(key)]
        assert not forgotten, f"keys without a time to live: {forgotten[:20]}"
        filled = [key for key in immortal if ":stream:" in key and self._length(key)]
        assert not filled, f"entries are left in {filled}"

    def _is_permanent(self, key: str) -> bool:
        rest = key.removeprefix(self.prefix)
        return any(re.fullmatch(pattern, rest) for pattern in PERMANENT)

    def _length(self, key: str) -> int:
        for server in self.servers:
            with server.client() as client:
                try:
                    if length := client.xlen(key):
                        return int(length)
                except MovedError:
                    continue
        return 0

    def close(self) -> None:
        self.empty()


class Servers:
    """The servers that a run of pytest shares, started when first asked for."""

    def __init__(self) -> None:
        self._stops: list[Callable[[], None]] = []
        self.single = cache(self._single)
        self.cluster = cache(self._cluster)

    def _single(self, kind: str) -> tuple[str, list[Server]]:
        server = Server(PROGRAMS[kind]()).start()
        self._stops.append(server.stop)
        name = re.sub("[^a-z0-9]", "_", kind)
        Redis.register_connection(name, url=server.url)
        return name, [server]

    def _cluster(self) -> tuple[str, list[Server]]:
        cluster = Cluster(redis_7()).start()
        self._stops.append(cluster.stop)
        Redis.register_connection("cluster", url=cluster.url, cluster=True)
        return "cluster", cluster.servers

    def stop(self) -> None:
        """End all that run."""
        for stop in self._stops:
            stop()


def open_store(kind: str, servers: Servers, directory: Path) -> Store:
    """A fresh store of that kind.

    Raises:
        MissingServerError: its server is not installed.
    """
    if kind == SQLITE_MEMORY:
        return SqliteStore(kind, None)
    if kind == SQLITE_FILE:
        return SqliteStore(kind, directory / "jobs.db")
    return RedisStore(kind, *(servers.cluster() if kind == CLUSTER else servers.single(kind)))


__all__ = [
    "EVERY_REDIS",
    "EVERY_STORE",
    "PROGRAMS",
    "SINGLE_REDIS",
    "STORES",
    "VALKEY",
    "MissingServerError",
    "RedisStore",
    "Servers",
    "SqliteStore",
    "Store",
    "open_store",
]
