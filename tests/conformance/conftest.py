"""Fixtures of the conformance suite."""

from collections.abc import Callable

import pytest

from heracles.transport import Transport
from tests.conformance.driver import SHORT_LEASE_MS, Driver
from tests.conftest import MakeTransport

MakeDriver = Callable[..., Driver]


@pytest.fixture
def driver(transport: Transport) -> Driver:
    """A queue on a transport with default options."""
    return Driver(transport)


@pytest.fixture
def make_driver(make_transport: MakeTransport) -> MakeDriver:
    """Makes a driver on a transport with the options given."""

    def make(queue: str = "emails", **options: object) -> Driver:
        return Driver(make_transport(**options), queue)

    return make


@pytest.fixture
def brief_leases(make_driver: MakeDriver) -> Driver:
    """A queue whose leases end soon."""
    return make_driver(lease=SHORT_LEASE_MS)
