"""Fixtures: a fresh store for each test, on every kind of store there is, and transports on it."""

import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heracles.model import CleanupRules
from heracles.transport import Transport
from tests.stores import EVERY_STORE, PROGRAMS, STORES, VALKEY, MissingServerError, Servers, Store, open_store

MakeTransport = Callable[..., Transport]

_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stores", default=None, help=f"the stores to test, separated by commas: {', '.join(EVERY_STORE)}"
    )
    parser.addoption(
        "--histories", type=int, default=None, help="that many new random histories a store, not the repeatable few"
    )


def _has_valkey() -> bool:
    try:
        PROGRAMS[VALKEY]()
    except MissingServerError:
        return False
    return True


def _kinds(config: pytest.Config) -> list[str]:
    given = config.getoption("--stores")
    if given is None:
        return [*STORES, VALKEY] if _has_valkey() else list(STORES)
    kinds = [kind.strip() for kind in given.split(",")]
    unknown = sorted(set(kinds) - set(EVERY_STORE))
    if unknown:
        raise pytest.UsageError(f"--stores: {', '.join(unknown)} unknown; there are {', '.join(EVERY_STORE)}")
    return kinds


def pytest_configure(config: pytest.Config) -> None:
    # A shell ignores SIGINT in what it runs in the background, and processes pass that on: those of the tests obey it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "stores(*kinds): the only kinds of store on which a test makes sense")


@pytest.fixture(autouse=True)
def nothing_goes_unnoticed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What is raised in a callback, or in a task that nobody waits for, reaches the log alone."""
    yield
    unnoticed = [record for record in caplog.get_records("call") if record.name == "asyncio"]
    assert not [record.getMessage() for record in unnoticed if record.levelno >= logging.ERROR]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "store_kind" in metafunc.fixturenames:
        kinds = _kinds(metafunc.config)
        if marker := metafunc.definition.get_closest_marker("stores"):
            kinds = [kind for kind in kinds if kind in marker.args]
        metafunc.parametrize("store_kind", kinds)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]  # what a wrapper is sent
    if report.failed:
        item.stash[_failed] = True
    return report  # type: ignore[return-value]  # what a wrapper hands on


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The Redis servers that all tests share."""
    shared = Servers()
    yield shared
    shared.stop()


@pytest.fixture
def store(store_kind: str, servers: Servers, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store. After the test nothing may be left in it that ought not to be."""
    try:
        opened = open_store(store_kind, servers, tmp_path)
    except MissingServerError as missing:
        pytest.skip(str(missing))
    yield opened
    try:
        # A test that failed has said what is wrong; what it left behind tells nothing more.
        if not request.node.stash.get(_failed, False):
            opened.check()
    finally:
        opened.close()


@pytest.fixture
def shared_store(store: Store) -> Store:
    """The store, where several transport objects can be on it."""
    if not store.is_shared:
        pytest.skip("a store in memory belongs to one transport object")
    return store


@pytest.fixture
async def make_transport(store: Store) -> AsyncIterator[MakeTransport]:
    """Makes transports on the test's store, and closes them after it.

    On a store in memory it answers equal options with the transport it made before, and skips the test at others.
    """
    made: list[tuple[dict[str, Any], Transport]] = []

    def make(**options: Any) -> Transport:
        if made and not store.is_shared:
            if options != made[0][0]:
                pytest.skip("a store in memory belongs to one transport object")
            return made[0][1]
        made.append((options, store.transport(**options)))
        return made[-1][1]

    yield make
    if made:
        await _empty_queues(made[0][1])
    for _, transport in made:
        await transport.close()


async def _empty_queues(transport: Transport) -> None:
    for queue in await transport.queues():
        await transport.cleanup(queue, CleanupRules(everything=True))


@pytest.fixture
def transport(make_transport: MakeTransport) -> Transport:
    """A transport with default options."""
    return make_transport()
