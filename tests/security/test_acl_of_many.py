"""Users where several servers stand in for each other: what the page grants in addition is enough and needed."""

from collections.abc import Iterator, Sequence

import pytest

from heracles import Redis, TransportError
from tests.conformance.driver import Driver
from tests.security.guarded import (
    FOR_CLUSTER,
    FOR_SENTINEL,
    ON_SENTINELS,
    PAGE,
    PASSWORDS,
    Session,
    admit,
    denials,
)
from tests.servers import Cluster, MissingServerError, Sentinels, redis_7

WATCHER = {"sentinel_username": "watcher", "sentinel_password": "w4tcher-s3cret"}


def test_the_page_names_these_words() -> None:
    text = PAGE.read_text().replace("\\|", "|")
    for word in (FOR_SENTINEL, *ON_SENTINELS, FOR_CLUSTER):
        assert f"`{word}`" in text


@pytest.fixture
def watched() -> Iterator[Sentinels]:
    try:
        made = Sentinels(redis_7())
    except MissingServerError as missing:
        pytest.skip(str(missing))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.mark.slow_fault
@pytest.mark.parametrize("granted", [ON_SENTINELS, ON_SENTINELS[:1]], ids=["both", "the address alone"])
async def test_with_sentinels(watched: Sentinels, granted: Sequence[str]) -> None:
    for server in watched.servers:
        admit(server, FOR_SENTINEL)
    for sentinel in watched.sentinels:
        sentinel.command("ACL", "SETUSER", "watcher", "on", f">{WATCHER['sentinel_password']}", "-@all", *granted)
    for user, password in PASSWORDS.items():
        table = {"sentinels": watched.addresses, "name": watched.NAME, **WATCHER}
        Redis.register_connection(user, sentinel=table, username=user, password=password)
    session = Session("guarded")
    await session.use_everything()
    await session.close()
    for server in (*watched.servers, *(watched.sentinels if granted == ON_SENTINELS else ())):
        assert denials(server) == []


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    try:
        made = Cluster(redis_7())
    except MissingServerError as missing:
        pytest.skip(str(missing))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.mark.slow_fault
async def test_with_a_cluster(cluster: Cluster) -> None:
    for server in cluster.servers:
        admit(server)
    for user, password in PASSWORDS.items():
        Redis.register_connection(user, url=cluster.url, cluster=True, username=user, password=password)
    session = Session("guarded")
    with pytest.raises(TransportError, match="permission"):
        await Driver(session.producer).put()
    for server in cluster.servers:
        server.command("ACL", "LOG", "RESET")
        for user in PASSWORDS:
            server.command("ACL", "SETUSER", user, FOR_CLUSTER)
    await session.use_everything()
    await session.close()
    for server in cluster.servers:
        assert denials(server) == []
