"""Fixtures: a store that worker processes share, and commands that start them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes.site import ProcessSite
from tests.stores import Servers, Store, open_store


@pytest.fixture(params=["sqlite-file", "redis-7"])
def shared(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Store]:
    """A fresh store of several processes."""
    opened = open_store(request.param, servers, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
async def site(shared: Store, tmp_path: Path) -> AsyncIterator[ProcessSite]:
    """A site with leases of one second."""
    with ExitStack() as processes:
        made = ProcessSite(shared, tmp_path, processes)
        yield made
    await made.transport.close()
