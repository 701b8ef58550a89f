"""The proxy that fault tests stand on does what it says."""

from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.proxy import Proxy
from tests.servers import HOST, Server, redis_7


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server(redis_7()).start()
    yield started
    started.stop()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as started:
        yield started


@pytest.fixture
def client(proxy: Proxy) -> Iterator["redis.Redis"]:
    connected = redis.Redis(HOST, proxy.port, socket_timeout=0.3, retry=Retry(NoBackoff(), 0))
    yield connected
    connected.close()


def test_it_passes_on_what_comes(client: "redis.Redis") -> None:
    assert client.set("key", "x" * 300_000)
    assert client.get("key") == b"x" * 300_000


def test_cut_refuses_until_restored(client: "redis.Redis", proxy: Proxy) -> None:
    client.ping()
    proxy.cut()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    proxy.restore()
    assert client.ping()


def test_half_open_answers_nothing(client: "redis.Redis", proxy: Proxy) -> None:
    client.ping()
    proxy.half_open()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    proxy.restore()
    assert client.ping()


def test_silence_is_for_the_connections_that_stand(client: "redis.Redis", proxy: Proxy) -> None:
    client.ping()
    proxy.silence()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    # On a new one.
    assert client.ping()


def test_with_replies_lost_the_server_still_does_it(client: "redis.Redis", proxy: Proxy, server: Server) -> None:
    client.delete("counter")
    proxy.lose_replies()
    with pytest.raises(redis.TimeoutError):
        client.incr("counter")
    assert server.command("GET", "counter") == b"1"


def test_delay_holds_back(client: "redis.Redis", proxy: Proxy) -> None:
    client.ping()
    proxy.delay(1000)
    with pytest.raises(redis.TimeoutError):
        client.ping()
