"""Fixtures: servers that stand in for each other, fresh for each test."""

from collections.abc import Iterator

import pytest

from tests.servers import Cluster, MissingServerError, Sentinels, redis_7


def _sentinels() -> Sentinels:
    try:
        return Sentinels(redis_7())
    except MissingServerError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def watched() -> Iterator[Sentinels]:
    """A master with two replicas, and three sentinels."""
    made = _sentinels()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def undemotable() -> Iterator[Sentinels]:
    """The same; the first master cannot be made a replica, and goes on as one that sentinels do not reach would."""
    made = _sentinels()
    for command in ("REPLICAOF", "SLAVEOF"):
        made.servers[0].options[f"rename-command {command}"] = ""
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three masters with a replica each."""
    try:
        made = Cluster(redis_7(), has_replicas=True)
    except MissingServerError as missing:
        pytest.skip(str(missing))
    try:
        yield made.start()
    finally:
        made.stop()
