"""Fixtures: a server of the test's own, sites on it and on a file."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from heracles.redis import Redis
from tests.faults.network import CountingProxy
from tests.faults.site import FaultSite
from tests.servers import MissingServerError, Server, redis_7
from tests.stores import REDIS_7, RedisStore, SqliteStore, Store

_numbers = itertools.count(1)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One that acknowledges only what is on disk; a parameter takes the place of its directives."""
    try:
        program = redis_7()
    except MissingServerError as missing:
        pytest.skip(str(missing))
    options = getattr(request, "param", None) or {"appendonly": "yes", "appendfsync": "always"}
    started = Server(program, options).start()
    yield started
    started.stop()


@pytest.fixture
def proxy(server: Server) -> Iterator[CountingProxy]:
    """A way to the server that can break."""
    with CountingProxy(server.port) as started:
        assert isinstance(started, CountingProxy)
        yield started


@pytest.fixture
def proxied(proxy: CountingProxy) -> str:
    """The name of a connection by that way."""
    name = f"faults-by-proxy-{next(_numbers)}"
    Redis.register_connection(name, url=proxy.url)
    return name


@pytest.fixture
async def site(server: Server, tmp_path: Path) -> AsyncIterator[FaultSite]:
    """Workers on the server."""
    name = f"faults-{next(_numbers)}"
    Redis.register_connection(name, url=server.url)
    async for made in _site(RedisStore(REDIS_7, name, [server]), tmp_path):
        yield made


@pytest.fixture
async def file_site(tmp_path: Path) -> AsyncIterator[FaultSite]:
    """Workers on a file."""
    async for made in _site(SqliteStore("sqlite-file", tmp_path / "jobs.db"), tmp_path):
        yield made


async def _site(store: Store, folder: Path) -> AsyncIterator[FaultSite]:
    with ExitStack() as processes:
        made = FaultSite(store, folder, processes)
        yield made
    await made.transport.close()
