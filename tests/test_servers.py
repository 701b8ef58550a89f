"""The servers that tests stand on start, survive what tests do to them, and never outlive the tests."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.servers import HOST, Cluster, MissingServerError, Server, is_free, redis_6, redis_7
from tests.waiting import eventually_sync

MakeServer = Callable[..., Server]
ORPHAN = """
import sys, time
from tests.servers import Server, redis_7
server = Server(redis_7()).start()
print(server.port, server.directory, flush=True)
time.sleep(60)
"""


@pytest.fixture
def make_server() -> Iterator[MakeServer]:
    made: list[Server] = []

    def make(**options: object) -> Server:
        try:
            made.append(Server(redis_7(), **options))  # type: ignore[arg-type]  # handed on as given
        except MissingServerError as missing:
            pytest.skip(str(missing))
        return made[-1].start()

    yield make
    for server in made:
        server.stop()


def test_files_and_port_stay_over_a_restart(make_server: MakeServer) -> None:
    server = make_server(options={"appendonly": "yes", "appendfsync": "always"})
    url = server.url
    server.command("SET", "key", "value")
    server.restart()
    assert (server.url, server.command("GET", "key")) == (url, b"value")


def test_a_stopped_server_leaves_no_files(make_server: MakeServer) -> None:
    server = make_server()
    server.stop()
    server.stop()
    assert not server.directory.exists()


def test_a_frozen_server_answers_once_it_is_thawed(make_server: MakeServer) -> None:
    server = make_server()
    server.freeze()
    with socket.create_connection((HOST, server.port), 0.2) as connection:
        connection.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(100)
    server.thaw()
    assert server.command("PING")


def test_tls_and_passwords(make_server: MakeServer) -> None:
    server = make_server(tls=True, options={"requirepass": "secret"}, password="secret")
    assert server.url.startswith("rediss://")
    assert server.command("PING")
    server.password = "wrong"
    with pytest.raises(redis.AuthenticationError):
        server.command("PING")


def test_a_cluster_of_the_oldest_version_forms() -> None:
    try:
        cluster = Cluster(redis_6())
    except MissingServerError as missing:
        pytest.skip(str(missing))
    try:
        cluster.start()
        for key in ("a", "b", "c", "d"):
            assert cluster.server_of(key).command("SET", key, "value")
    finally:
        cluster.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
def test_a_killed_test_run_leaves_no_server() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent
    )
    assert run.stdout is not None
    port, directory = run.stdout.readline().split()
    assert not is_free(int(port))
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    run.stdout.close()
    eventually_sync(lambda: is_free(int(port)))
    for left in Path(directory).iterdir():
        left.unlink()
    Path(directory).rmdir()
