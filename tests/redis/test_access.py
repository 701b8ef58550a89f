"""What plain options and URLs say is what redis-py makes of them; it is asked, and loaded, for the rest alone."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, strategies
from redis.asyncio.connection import Connection, UnixDomainSocketConnection, parse_url
from redis.crc import key_slot
from redis.credentials import UsernamePasswordCredentialProvider

from heracles.redis import Redis, bearer
from heracles.redis.access import Access, plain_access, plain_options
from heracles.redis.servers import slot_of
from tests.redis.conftest import MakePrivate

PLAIN_URLS = [
    "redis://",
    "redis://localhost",
    "redis://LOCALHOST:7000/3",
    "redis://127.0.0.1:7000/",
    "redis://[fe80::a]:7000/1",
    "redis://h/%31",
    "redis://h/jobs",
    "redis://h/1/2",
    "redis://h/1?db=4",
    "redis://h/1?db=",
    "redis://h/1#4",
    "redis://u:p%3A%2F%40%25@h",
    "redis://u@h",
    "redis://:p@h",
    "redis://%75:p@h",
    "redis://u:p@h?username=v&password=q",
    "redis://h?username=v&password=q%2520",
    "redis://h?socket_timeout=2.5&socket_connect_timeout=1&client_name=jobs",
    "redis://h?db=1&db=2",
    "redis://h?max_connections=10",
    "redis://h?sentinel_username=v&sentinel_password=q",
    "unix:///run/redis.sock",
    "unix:///run/re%20dis.sock?db=2",
    "unix://:p@/run/redis.sock",
    "unix://",
]
OTHER_URLS = [
    "rediss://h",
    "redis://h?protocol=3",
    "redis://h?health_check_interval=30",
    "redis://h?ssl_cert_reqs=none",
    "redis://h?host=g",
    "redis://h?no_such_option=1",
]
PLAIN_OPTIONS: list[dict[str, Any]] = [
    {},
    {"host": "h", "port": 7000, "db": 3, "username": "u", "password": "p", "client_name": "jobs"},
    {"port": "7000", "db": "3"},
    {"socket_timeout": 2},
    {"socket_timeout": None},
    {"socket_timeout": 2, "socket_connect_timeout": None},
    {"socket_timeout": None, "socket_connect_timeout": None},
    {"socket_connect_timeout": 1.5},
    {"username": None, "password": None, "credential_provider": None, "ssl": False},
]


def of_redis_py(options: dict[str, Any]) -> Access:
    given = {name: value for name, value in options.items() if name != "ssl"}
    return bearer.access_of({"connection_class": Connection, **given})


@pytest.mark.parametrize("url", PLAIN_URLS)
def test_a_plain_url(url: str) -> None:
    expected = dict(parse_url(url))
    if expected.pop("connection_class", None) is UnixDomainSocketConnection:
        expected.setdefault("path", "")
    assert plain_options(url) == expected


@pytest.mark.parametrize("url", ["redis://h?db=x", "redis://h?socket_timeout=x", "redis://h?max_connections=1.5"])
def test_a_wrong_value_in_a_plain_url(url: str) -> None:
    for read in (parse_url, plain_options):
        with pytest.raises(ValueError, match=r"(?i)invalid|could not"):
            read(url)


@pytest.mark.parametrize("url", OTHER_URLS)
def test_redis_py_reads_all_other_urls(url: str) -> None:
    assert plain_options(url) is None
    assert bearer.options_of(url) == dict(parse_url(url))


@pytest.mark.parametrize("options", PLAIN_OPTIONS)
def test_plain_options(options: dict[str, Any]) -> None:
    assert plain_access(options) == of_redis_py(options)


def test_plain_options_of_a_unix_socket() -> None:
    options = {"path": "/run/redis.sock", "db": 2, "password": "p"}
    assert plain_access(options) == bearer.access_of(options)
    assert bearer.access_of(options).path == "/run/redis.sock"


@pytest.mark.parametrize(
    "options",
    [
        {"ssl": True},
        {"ssl_ca_certs": "ca.pem"},
        {"credential_provider": UsernamePasswordCredentialProvider("u", "p")},
        {"connection_class": Connection},
        {"health_check_interval": 30},
        {"host": "h", "path": "/run/redis.sock"},
        {"no_such_option": 1},
    ],
)
def test_redis_py_knows_all_other_options(options: dict[str, Any]) -> None:
    assert plain_access(options) is None


def test_a_credential_provider_is_kept() -> None:
    provider = UsernamePasswordCredentialProvider("u", "p")
    Redis.register_connection("test-access", url="redis://h", credential_provider=provider)
    assert Redis.connection("test-access").access.credential_provider is provider


def test_a_password_is_not_shown() -> None:
    assert repr(Access(username="u", password="s3cr3t")) == "<Access to localhost:6379>"
    assert repr(Access(path="/run/redis.sock", password="s3cr3t")) == "<Access to /run/redis.sock>"


@given(strategies.text(alphabet="ab{}:é", max_size=12))
def test_the_slot_of_a_key(key: str) -> None:
    assert slot_of(key) == key_slot(key.encode())


PROGRAM = """
import asyncio, sys
import heracles.cli.work
from heracles import Redis, RedisWorker, job

@job(queue="doubles")
async def double(number: int) -> int:
    return 2 * number

async def main():
    async with RedisWorker("default", id="w") as worker:
        await worker.create_queue("doubles")
        await worker.start()
        handle = await double.dispatch(21)
        print(await handle.result(timeout=60), "redis" in sys.modules)

Redis.register_connection("default", url=sys.argv[1])
asyncio.run(main())
"""


@pytest.mark.parametrize(("query", "is_loaded"), [("?socket_timeout=5", False), ("?health_check_interval=30", True)])
def test_a_process_loads_redis_py_for_what_is_not_plain_alone(
    make_private: MakePrivate, query: str, is_loaded: bool
) -> None:
    url = make_private().server.url + query
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["42", str(is_loaded)], "")
