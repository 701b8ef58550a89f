"""A private redis-server for one run: on a free port, in a temporary directory, with no persistence by default."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from benchmarks.processes import end, start

HOST = "127.0.0.1"
_START_S = 10.0
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


class Server:
    """One server, running while the context is entered."""

    def __init__(self, *, has_aof: bool = False) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="heracles-benchmark-"))
        self._aof = ["--appendonly", "yes", "--appendfsync", "everysec"] if has_aof else ["--appendonly", "no"]
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
        words += ["--save", "", *self._aof, "--slowlog-log-slower-than", str(SLOW_US), "--loglevel", "warning"]
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

    def slow_commands(self) -> list[tuple[float, str]]:
        """Milliseconds and name of each command over 5 ms, slowest first."""
        rows = self._client.slowlog_get(128)
        found = [(row["duration"] / 1000, _first_words(row["command"])) for row in rows]
        return sorted(found, reverse=True)


def _first_words(command: bytes | str) -> str:
    text = command.decode(errors="replace") if isinstance(command, bytes) else command
    return " ".join(text.split()[:3])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
