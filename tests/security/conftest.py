"""Fixtures: worker processes on a Redis, and one that asks for a password."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes.site import ProcessSite
from tests.security.guarded import admit
from tests.servers import MissingServerError, Server, redis_7
from tests.stores import REDIS_7, Servers, open_store


@pytest.fixture
async def site(servers: Servers, tmp_path: Path) -> AsyncIterator[ProcessSite]:
    """A store in which others may write too, and worker processes on it."""
    store = open_store(REDIS_7, servers, tmp_path)
    with ExitStack() as processes:
        made = ProcessSite(store, tmp_path, processes)
        yield made
    await made.transport.close()
    store.close()


@pytest.fixture
def guarded() -> Iterator[Server]:
    """A server with the users of the page."""
    try:
        made = Server(redis_7())
    except MissingServerError as missing:
        pytest.skip(str(missing))
    made.start()
    admit(made)
    yield made
    made.stop()
