"""Fixtures of the worker's tests."""

from collections.abc import AsyncIterator

import pytest

from heracles.transport import Transport
from tests.conftest import MakeTransport
from tests.worker.jobs import BOARD
from tests.worker.site import Site


@pytest.fixture
async def site(transport: Transport, make_transport: MakeTransport) -> AsyncIterator[Site]:
    """A site on a fresh store, with the default options."""
    BOARD.clear()
    made = Site(transport, make_transport)
    yield made
    await made.close()


@pytest.fixture
async def brief_site(make_transport: MakeTransport) -> AsyncIterator[Site]:
    """A site where leases are short."""
    BOARD.clear()
    made = Site(make_transport(lease=600, poll_interval=50), make_transport)
    yield made
    await made.close()
