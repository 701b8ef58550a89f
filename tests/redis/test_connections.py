"""Named connections: registered in code, by the environment or by a URL; passwords stay hidden."""

import ssl
from typing import Any

import pytest

from heracles.errors import ConfigurationError, OptionError, TransportError, TransportUnavailableError
from heracles.model import ReportKind, SignalKind, Verdict
from heracles.redis import Redis, RedisTransport
from heracles.redis.connections import Endpoint
from tests.conformance.driver import Driver, ids, is_woken
from tests.redis.conftest import MakePrivate
from tests.servers import free_port
from tests.stores import SINGLE_REDIS

SECRET = "s3cr3t:/@"
QUOTED = "s3cr3t%3A%2F%40"


def endpoint(**options: Any) -> Endpoint:
    Redis.register_connection("test-connections", **options)
    return Redis.connection("test-connections")


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("redis://localhost", "redis://localhost:6379"),
        ("redis://localhost:7000/3", "redis://localhost:7000/3"),
        (f"redis://user:{QUOTED}@localhost:7000", "redis://localhost:7000"),
        (f"rediss://:{QUOTED}@db.example.com", "rediss://db.example.com:6379"),
        (f"unix://:{QUOTED}@/run/redis.sock?db=2", "unix:///run/redis.sock/2"),
        (f"redis+sentinel://u:{QUOTED}@a:1,b/mymaster/4", "redis+sentinel://a:1,b:26379/mymaster/4"),
        (f"rediss+sentinel://a/mymaster?sentinel_password={QUOTED}", "rediss+sentinel://a:26379/mymaster"),
        (f"redis+cluster://:{QUOTED}@a:7000,b:7001", "redis+cluster://a:7000,b:7001"),
        ("redis://localhost?socket_timeout=2.5", "redis://localhost:6379"),
    ],
)
def test_urls(url: str, identity: str) -> None:
    made = endpoint(url=url)
    assert made.identity == identity
    assert "s3cr3t" not in repr(made)


def test_the_password_arrives_unquoted() -> None:
    for url in (f"redis://u:{QUOTED}@h", f"redis+cluster://u:{QUOTED}@h", f"redis+sentinel://u:{QUOTED}@h/m"):
        access = endpoint(url=url).access
        assert (access.username, access.password) == ("u", SECRET)


def test_options_of_redis_py() -> None:
    made = endpoint(
        url="redis://localhost:7000", password=SECRET, username="u", max_connections=10, socket_timeout=2, db=3
    )
    access = made.access
    assert (access.password, access.username, access.socket_timeout, access.db) == (SECRET, "u", 2, 3)
    tls = endpoint(host="h", port=1, ssl=True, ssl_cert_reqs="none").access.tls
    assert tls is not None
    assert tls().verify_mode is ssl.CERT_NONE
    assert endpoint(url="unix:///x.sock").access.path == "/x.sock"


@pytest.mark.parametrize(
    "node", [("a", 26379), ["a", 26379], {"host": "a", "port": 26379}, {"host": "a"}, "a:26379", "a"]
)
def test_forms_of_a_sentinel(node: object) -> None:
    made = endpoint(sentinel={"sentinels": [node], "name": "m"}, password="p", sentinel_password="q")
    assert made.nodes == (("a", 26379),)
    assert made.master == "m"
    assert made.access.password == "p"
    assert made._sentinel_access.password == "q"


def test_passwords_in_the_sentinel_table() -> None:
    made = endpoint(sentinel={"sentinels": ["a"], "name": "m", "password": "p", "sentinel_password": "q"})
    assert (made.access.password, made._sentinel_access.password) == ("p", "q")


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://localhost"},
        {"url": "localhost:6379"},
        {"url": f"redis://:{QUOTED}@localhost:port"},
        {"url": f"redis://:{SECRET}localhost:99999999"},
        {"url": "redis+sentinel://a:1"},
        {"url": "redis+cluster://a:1/3"},
        {"url": "redis://h", "no_such_option": 1},
        {"url": "redis://h", "path": "/x.sock"},
        {"url": "redis://h?socket_timeout=soon"},
        {"url": "redis://h", "protocol": 7},
        {"url": "rediss://h", "ssl_cert_reqs": "perhaps"},
        {"url": f"redis://u:{QUOTED}@h", "credential_provider": object()},
        {"url": "redis://h", "connection_class": dict},
        {"port": "port"},
        {"port": None},
        {"sentinel": {"sentinels": [], "name": "m"}},
        {"sentinel": {"sentinels": ["a"]}},
        {"sentinel": {"sentinels": [7], "name": "m"}},
        {"sentinel": {"sentinels": ["a"], "name": "m", "pasword": "p"}},
        {"cluster": True, "url": "redis://h/3"},
        {"cluster": True, "sentinel": {"sentinels": ["a"], "name": "m"}},
        {"cluster": True, "url": "redis+sentinel://a/m"},
        {"url": "redis+cluster://a", "sentinel": {"sentinels": ["a"], "name": "m"}},
    ],
)
def test_what_cannot_be_used_is_refused_without_its_password(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        endpoint(**options)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "redis://localhost:99999"},
        {"url": "redis://localhost:0"},
        {"url": f"redis://:{QUOTED}@localhost:port"},
        {"url": f"redis://u:{SECRET}"},
        {"url": "redis+cluster://localhost:7000,localhost:99999"},
        {"url": "redis+sentinel://localhost:0/m"},
        {"sentinel": {"sentinels": [("a", 65536)], "name": "m"}},
    ],
)
def test_a_wrong_port_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"port .*is wrong: give a number from 1 to 65535") as caught:
        endpoint(**options)
    assert "s3cr3t" not in str(caught.value)


def test_an_address_whose_port_is_no_number() -> None:
    with pytest.raises(ConfigurationError, match="is no address"):
        endpoint(url="redis+sentinel://localhost:x/m")
    assert endpoint(url="redis+cluster://[fe80::a]:7000,[fe80::b]").nodes == (("fe80::a", 7000), ("fe80::b", 6379))


def test_the_environment_registers_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERACLES_REDIS_CACHE_A_URL", f"redis://:{QUOTED}@one:1")
    assert Redis.connection("cache_a").identity == "redis://one:1"
    assert Redis.connection("cache_a") is Redis.connection("cache_a")
    monkeypatch.setenv("HERACLES_REDIS_CACHE_A_URL", "redis://two:2")
    assert Redis.connection("cache_a").identity == "redis://two:2"
    assert not Redis.is_registered("cache_a")
    monkeypatch.setenv("HERACLES_REDIS_CACHE_A_URL", f"redis://:{QUOTED}@one:port")
    with pytest.raises(ConfigurationError, match="HERACLES_REDIS_CACHE_A_URL") as caught:
        Redis.connection("cache_a")
    assert "s3cr3t" not in str(caught.value)


def test_the_default_may_come_from_the_variables_of_the_default_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Redis, "_registered", {})
    monkeypatch.setenv("REDIS_URL", "redis://three:3")
    assert Redis.connection("default").identity == "redis://three:3"
    monkeypatch.setenv("HERACLES_REDIS_URL", "redis://two:2")
    assert Redis.connection("default").identity == "redis://two:2"
    monkeypatch.setenv("HERACLES_REDIS_DEFAULT_URL", "redis://one:1")
    assert Redis.connection("default").identity == "redis://one:1"


def test_code_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERACLES_REDIS_CACHE_B_URL", "redis://environment:1")
    Redis.register_connection("cache_b", url="redis://code:1")
    assert Redis.is_registered("cache_b")
    assert Redis.connection("cache_b").identity == "redis://code:1"


def test_an_unknown_name_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="HERACLES_REDIS_NOWHERE_URL"):
        Redis.connection("nowhere")


def test_a_url_gets_a_name_of_its_own() -> None:
    first = Redis.register_url(f"redis://:{QUOTED}@h:1")
    assert "s3cr3t" not in first
    assert Redis.register_url(f"redis://:{QUOTED}@h:1") == first
    second = Redis.register_url("redis://:other@h:1")
    assert second != first
    assert Redis.connection(first).access.password == SECRET
    assert Redis.connection(second).access.password == "other"


def test_options_are_checked_when_made() -> None:
    with pytest.raises(OptionError, match="key_prefix"):
        RedisTransport(key_prefix="a{b}")
    with pytest.raises(OptionError, match="path"):
        RedisTransport(path="x")  # type: ignore[call-arg]  # not one of them


def test_a_transport_connects_to_nothing_when_made() -> None:
    made = RedisTransport(connection="nowhere-yet")
    assert "nowhere-yet" in repr(made)
    Redis.register_connection("nowhere-yet", url=f"redis://:{QUOTED}@h:1")
    assert made.identity == "redis://h:1 (keys elysium:heracles:*)"


async def test_nobody_listens() -> None:
    Redis.register_connection("silent", url=f"redis://:{QUOTED}@127.0.0.1:{free_port()}")
    with pytest.raises(TransportUnavailableError) as caught:
        await RedisTransport(connection="silent").open()
    assert "s3cr3t" not in str(caught.value)


async def test_passwords_and_users(make_private: MakePrivate) -> None:
    options = {"requirepass": "s3cr3t", "user app": "on >hidden allcommands allkeys allchannels"}
    private = make_private(options=options, password="s3cr3t", connection={"password": "s3cr3t"})
    await Driver(private.transport()).put_running("d-1")
    url = private.server.url
    Redis.register_connection("acl", url=url, username="app", password="hidden")
    await RedisTransport(connection="acl").open()
    refused: list[dict[str, Any]] = [{}, {"password": "wrong-s3cr3t"}]
    for given in refused:
        Redis.register_connection("refused", url=url, **given)
        with pytest.raises(TransportError, match="password") as caught:
            await RedisTransport(connection="refused").open()
        assert not isinstance(caught.value, TransportUnavailableError)
        assert "s3cr3t" not in str(caught.value)


async def test_a_missing_permission_is_named(make_private: MakePrivate) -> None:
    private = make_private(options={"user app": "on >pw allkeys allchannels allcommands -evalsha"})
    Redis.register_connection("limited", url=private.server.url, username="app", password="pw")
    with pytest.raises(TransportError, match="permission"):
        await Driver(RedisTransport(connection="limited")).put("d-1")


async def test_a_listener_without_permission_says_so_once(
    make_private: MakePrivate, caplog: pytest.LogCaptureFixture
) -> None:
    private = make_private(options={"user app": "on >pw allkeys allchannels allcommands -subscribe"})
    Redis.register_connection("limited", url=private.server.url, username="app", password="pw")
    transport = RedisTransport(connection="limited")
    driver = Driver(transport)
    listener = driver.listen()
    await listener.wait(100)
    await driver.put()
    assert await is_woken(listener, SignalKind.WORK)
    await listener.wait(500)
    await listener.close()
    assert caplog.text.count("hints cannot be heard") == 1
    await transport.close()


@pytest.mark.parametrize("kind", SINGLE_REDIS)
async def test_a_permission_that_is_lost_midway_is_no_lost_report(make_private: MakePrivate, kind: str) -> None:
    private = make_private(kind=kind, options={"user app": "on >pw allkeys allchannels allcommands"})
    Redis.register_connection("limited", url=private.server.url, username="app", password="pw")
    transport = RedisTransport(connection="limited")
    driver = Driver(transport)
    delivery = await driver.put_running("d-1")
    private.server.command("ACL", "SETUSER", "app", "-hset")
    with pytest.raises(TransportError, match="give it the permissions"):
        await driver.report(delivery, ReportKind.COMPLETED)
    private.server.command("ACL", "SETUSER", "app", "+hset")
    assert await driver.report(delivery, ReportKind.COMPLETED) is Verdict.APPLIED
    assert await driver.counts() == {"COMPLETED": 1}
    await transport.close()


@pytest.mark.parametrize("kind", SINGLE_REDIS)
async def test_a_permission_that_is_lost_midway_leaves_nothing_read_and_unstarted(
    make_private: MakePrivate, kind: str
) -> None:
    private = make_private(kind=kind, options={"user app": "on >pw allkeys allchannels allcommands"})
    Redis.register_connection("limited", url=private.server.url, username="app", password="pw")
    transport = RedisTransport(connection="limited")
    driver = Driver(transport)
    for name in ("d-1", "d-2", "d-3"):
        await driver.put(name)
    private.server.command("ACL", "SETUSER", "app", "-hset")
    for _ in range(3):
        with pytest.raises(TransportError, match="give it the permissions"):
            await driver.start(2)
    private.server.command("ACL", "SETUSER", "app", "+hset")
    assert ids(await driver.start()) == ["d-1", "d-2", "d-3"]
    await transport.close()


async def test_tls(make_private: MakePrivate) -> None:
    private = make_private(tls=True)
    assert private.server.certificates is not None
    with pytest.raises(TransportError):
        await private.transport().open()
    Redis.register_connection("tls", url=private.server.url, ssl_ca_certs=str(private.server.certificates.authority))
    transport = RedisTransport(connection="tls")
    await Driver(transport).put_running("d-1")
    assert transport.identity.startswith("rediss://")
    await transport.close()


async def test_databases_are_kept_apart(make_private: MakePrivate) -> None:
    private = make_private(connection={"db": 3})
    await Driver(private.transport()).put_running("d-1")
    assert private.server.command("DBSIZE") == 0


async def test_a_name_for_the_connection(make_private: MakePrivate) -> None:
    private = make_private(connection={"client_name": "jobs"})
    await private.transport().open()
    assert b"name=jobs" in private.server.command("CLIENT", "LIST")
