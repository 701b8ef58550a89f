"""Private redis-servers for one run: on free ports, in temporary directories, with no persistence by default."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from benchmarks.processes import end, start, wait_until

HOST = "127.0.0.1"
_START_S = 10.0
_SLOTS = 16_384
#: From a server's port to that of its cluster bus.
_BUS_OFFSET, _LAST_PORT = 10_000, 65_535
#: Microseconds after which a command goes into the slow log.
SLOW_US = 5000


class MissingServerError(RuntimeError):
    """There is no redis-server to measure with."""


def program(name: str = "redis-server") -> Path:
    """``REDIS_SERVER`` for the server itself, else what is on the PATH.

    Raises:
        MissingServerError: it is not installed.
    """
    found = (os.environ.get("REDIS_SERVER") if name == "redis-server" else None) or shutil.which(name)
    if found is None:
        raise MissingServerError(f"{name} is not on the PATH: install Redis 7, or set REDIS_SERVER")
    return Path(found)


def version() -> str:
    """What the server calls itself."""
    answer = subprocess.run([program(), "--version"], check=True, capture_output=True, text=True)
    return " ".join(answer.stdout.split()[:3])


#: Commands that carry out a script.
SCRIPT_CALLS = frozenset({"eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro"})


@dataclass(frozen=True)
class Calls:
    """Of one command."""

    count: int
    microseconds: float
    """A script's own include those of the commands in it."""


class Server:
    """One server, running while the context is entered."""

    def __init__(self, *, has_aof: bool = False, in_cluster: bool = False) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="heracles-benchmark-"))
        self._aof = ["--appendonly", "yes", "--appendfsync", "everysec"] if has_aof else ["--appendonly", "no"]
        self._cluster = ["--cluster-enabled", "yes"] if in_cluster else []
        self.port = 0
        self._client: redis.Redis
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://{HOST}:{self.port}"

    def __enter__(self) -> "Server":
        self.port = _free_port()
        # One connection for all looks, so that a look is one round trip.
        self._client = redis.Redis(HOST, self.port, protocol=2, decode_responses=True)
        words = [str(program()), "--port", str(self.port), "--bind", HOST, "--dir", str(self._directory)]
        words += ["--save", "", *self._aof, *self._cluster]
        words += ["--slowlog-log-slower-than", str(SLOW_US), "--loglevel", "warning"]
        self._process = start(words, log=self._directory / "server.log")
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"redis-server does not start: {(self._directory / 'server.log').read_text()}")
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()
        if self._process is not None:
            end(self._process)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.ConnectionError):
            return bool(self.command("PING"))
        return False

    def command(self, *words: str | int) -> Any:
        """What one command answers."""
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py has no types here

    def info(self, section: str) -> dict[str, Any]:
        """One section of INFO, values parsed."""
        found = self._client.info(section)
        assert isinstance(found, dict)
        return found

    def memory_bytes(self) -> int:
        """What its data take, without the buffers of clients."""
        memory = self.info("memory")
        return int(memory["used_memory"]) - int(memory.get("mem_clients_normal", 0))

    def cpu_s(self) -> float:
        """Processor seconds used since it started, on its main thread."""
        cpu = self.info("cpu")
        return float(cpu["used_cpu_user_main_thread"]) + float(cpu["used_cpu_sys_main_thread"])

    def trips(self) -> int:
        """How often clients were read from: each round trip once, however many commands it holds."""
        return int(self.info("stats")["total_reads_processed"])

    def commands(self) -> int:
        """All commands carried out, those that scripts call included."""
        return int(self.info("stats")["total_commands_processed"])

    def calls(self) -> "dict[str, Calls]":
        """By command, since the last ``forget_calls``; those in scripts included."""
        found = self.info("commandstats")
        return {
            name.removeprefix("cmdstat_"): Calls(int(row["calls"]), float(row["usec"])) for name, row in found.items()
        }

    def forget_calls(self) -> None:
        """Count calls and slow commands from here."""
        self.command("CONFIG", "RESETSTAT")
        self.command("SLOWLOG", "RESET")

    def script_calls(self) -> int:
        """How many scripts were called since then."""
        return sum(calls.count for name, calls in self.calls().items() if name in SCRIPT_CALLS)

    def slow_commands(self) -> list[tuple[float, str]]:
        """Milliseconds and name of each command over 5 ms, slowest first."""
        rows = self._client.slowlog_get(128)
        found = [(row["duration"] / 1000, _first_words(row["command"])) for row in rows]
        return sorted(found, reverse=True)


def _first_words(command: bytes | str) -> str:
    text = command.decode(errors="replace") if isinstance(command, bytes) else command
    return " ".join(text.split()[:3])


def _free_port() -> int:
    """One below which there is another for the bus of a cluster."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port + _BUS_OFFSET <= _LAST_PORT:
            return port


class Cluster:
    """Masters that share the slots, running while the context is entered."""

    def __init__(self, masters: int) -> None:
        self.masters: Sequence[Server] = [Server(in_cluster=True) for _ in range(masters)]
        self._stack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """Where the first one listens."""
        return f"redis+cluster://{HOST}:{self.masters[0].port}"

    def __enter__(self) -> "Cluster":
        for master in self.masters:
            self._stack.enter_context(master)
        share = -(-_SLOTS // len(self.masters))
        for number, master in enumerate(self.masters):
            master.command("CLUSTER", "ADDSLOTS", *range(number * share, min(_SLOTS, (number + 1) * share)))
            if number:
                master.command("CLUSTER", "MEET", HOST, self.masters[0].port)
        wait_until(self._is_whole, timeout_s=_START_S * len(self.masters), what="the cluster is formed")
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def _is_whole(self) -> bool:
        wanted = {"cluster_state:ok", f"cluster_known_nodes:{len(self.masters)}"}
        return all(wanted <= set(master.command("CLUSTER", "INFO").split()) for master in self.masters)
