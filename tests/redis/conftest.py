"""Fixtures: one queue on a fresh key prefix of a Redis server, with a plain client to look behind the transport."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
import redis

from heracles.redis import Redis, RedisTransport
from tests.conformance.driver import Driver
from tests.servers import MissingServerError, Server
from tests.stores import PROGRAMS, REDIS_6, REDIS_7, VALKEY, RedisStore, Servers, open_store

MakeDriver = Callable[..., Driver]
QUEUE = "emails"


class Behind:
    """What is in Redis under the test's prefix. Keys are named without it."""

    def __init__(self, client: "redis.Redis", prefix: str) -> None:
        self.client = client
        self.prefix = prefix
        self._connection = client.connection_pool.make_connection()

    def close(self) -> None:
        """Let go."""
        self._connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py has no types here

    def key(self, rest: str) -> str:
        """The whole name."""
        return f"{self.prefix}:{rest}"

    def names(self) -> list[str]:
        """All that there are."""
        found = self.client.scan_iter(match=f"{self.prefix}:*", count=1000)
        return sorted(name.decode().removeprefix(f"{self.prefix}:") for name in found)

    def hash(self, rest: str) -> dict[str, str]:
        """The fields of a hash."""
        found: Mapping[bytes, bytes] = self.client.hgetall(self.key(rest))  # type: ignore[assignment]  # not awaited
        return {name.decode(): value.decode() for name, value in found.items()}

    def entries(self, rest: str) -> list[list[tuple[str, str]]]:
        """The entries of a stream, their fields in order."""
        answer = self.command("XRANGE", self.key(rest), "-", "+")
        return [
            [(flat[at].decode(), flat[at + 1].decode()) for at in range(0, len(flat), 2)]
            for flat in (fields for _, fields in answer)
        ]

    def command(self, *words: Any) -> Any:
        """The raw answer of a command."""
        self._connection.send_command(*words)  # type: ignore[no-untyped-call]  # redis-py has no types here
        return self._connection.read_response()

    def ttl(self, rest: str) -> int:
        """Seconds that a key has to live; -1 without end, -2 where it is not."""
        return int(self.client.ttl(self.key(rest)))

    def delete(self, *rests: str) -> None:
        """Remove keys."""
        assert self.client.delete(*(self.key(rest) for rest in rests)) == len(rests)


@pytest.fixture(params=[REDIS_7, REDIS_6, VALKEY])
def redis_store(request: pytest.FixtureRequest, servers: Servers, tmp_path: Any) -> Iterator[RedisStore]:
    """A fresh prefix on a shared server of each kind."""
    try:
        opened = open_store(request.param, servers, tmp_path)
    except MissingServerError as missing:
        pytest.skip(str(missing))
    assert isinstance(opened, RedisStore)
    yield opened
    opened.close()


@pytest.fixture
def behind(redis_store: RedisStore) -> Iterator[Behind]:
    """Behind the transport."""
    with redis_store.servers[0].client() as client:
        made = Behind(client, redis_store.prefix)
        yield made
        made.close()


@pytest.fixture
async def make_driver(redis_store: RedisStore) -> AsyncIterator[MakeDriver]:
    """Makes a driver of the queue ``emails``, with the transport's options given."""
    made: list[RedisTransport] = []

    def make(**options: Any) -> Driver:
        made.append(RedisTransport(connection=redis_store.connection, key_prefix=redis_store.prefix, **options))
        return Driver(made[-1], QUEUE)

    yield make
    for transport in made:
        await transport.close()


@pytest.fixture
def driver(make_driver: MakeDriver) -> Driver:
    """With default options."""
    return make_driver()


class Private:
    """A server of the test's own, and transports on it."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.made: list[RedisTransport] = []

    def transport(self, **options: Any) -> RedisTransport:
        """A new one."""
        self.made.append(RedisTransport(connection=self.name, **options))
        return self.made[-1]

    def driver(self, **options: Any) -> Driver:
        """A driver of the queue ``emails`` on a new one."""
        return Driver(self.transport(**options), QUEUE)


MakePrivate = Callable[..., Private]


@pytest.fixture
async def make_private(request: pytest.FixtureRequest) -> AsyncIterator[MakePrivate]:
    """Starts servers that a test may kill; ``options`` as in ``Server``, and those of the connection."""
    made: list[Private] = []

    def make(*, kind: str = REDIS_7, connection: Mapping[str, Any] | None = None, **options: Any) -> Private:
        try:
            server = Server(PROGRAMS[kind](), **options).start()
        except MissingServerError as missing:
            pytest.skip(str(missing))
        name = f"private-{len(made)}"
        Redis.register_connection(name, **{"url": server.url, **(connection or {})})
        made.append(Private(server, name))
        return made[-1]

    yield make
    for private in made:
        for transport in private.made:
            await transport.close()
        private.server.stop()
