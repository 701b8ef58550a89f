"""The bench on which one system is measured: a fresh store, a fresh board, its producer and its workers."""

import contextlib
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.board import Board
from benchmarks.catalogue import System
from benchmarks.environments import Environment
from benchmarks.jobs import history
from benchmarks.processes import FailedError, answer, end, start, tail, wait_until
from benchmarks.role import Role
from benchmarks.servers import Cluster, Server
from benchmarks.sizes import Size

#: What a producer may take beyond the time it is given: to start, and to finish what is under way.
PRODUCER_S = 120.0
#: From the start of a worker to its first job.
READY_S = 30.0
#: A run that does not end in so many times the time it is sized for has stalled.
STALL_S = 120.0


class Bench:
    """One run of one system: use it once, as a context.

    ``masters``: more than one make a cluster. ``role``: fields of all its processes' roles.
    """

    def __init__(self, system: System, environment: Environment, size: Size, *, masters: int = 1, **role: Any) -> None:
        self.system = system
        self.size = size
        self._environment = environment
        self._masters = masters
        self._stack = contextlib.ExitStack()
        self.server: Server | None = None
        self.cluster: Sequence[Server] = ()
        self.directory = Path()
        self.role = Role(url="", board="", **role)
        self.board: Board

    def __enter__(self) -> "Bench":
        self.directory = Path(tempfile.mkdtemp(prefix="heracles-benchmark-"))
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        if self.system.store == "sqlite":
            url = f"sqlite:///{self.directory / 'jobs.db'}"
        elif self._masters > 1:
            cluster = self._stack.enter_context(Cluster(self._masters))
            self.cluster, url = cluster.masters, cluster.url
        else:
            self.server = self._stack.enter_context(Server(has_aof=self.system.store == "redis-aof"))
            url = self.server.url
        self.role = replace(self.role, url=url, board=str(self.directory / "board"))
        self.new_board(0)
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def new_board(self, samples: int) -> None:
        """An empty board for the processes that start from now on."""
        self.board = Board.create(Path(self.role.board), samples)
        self._stack.callback(self.board.close)

    @property
    def redis(self) -> Server:
        """The server of a run that is on Redis."""
        assert self.server is not None, f"{self.system.name} is not on Redis"
        return self.server

    def produce(
        self, how: str, job: str = "noop", *, count: int = 0, seconds: float = 0, queues: int = 1, recovery_s: int = 0
    ) -> dict[str, Any]:
        """Dispatch up to that many jobs, for up to that many seconds, and return what the producer says.

        Where seconds are given, it has dispatched a few before that, which do not count.
        """
        words = [str(self._environment.python), "-m", "benchmarks.produce", self.system.adapter, how, job]
        words += [f"--count={count}"] if count else []
        words += [f"--seconds={seconds}"] if seconds else []
        role = replace(self.role, worker="producer", queues=queues, recovery_s=recovery_s)
        return answer(words, environment=role.environment(), timeout_s=seconds + PRODUCER_S)

    def run(self, module: str, *words: str, seconds: float = 0) -> dict[str, Any]:
        """What another module of this package, run as a process in the system's environment, says."""
        role = replace(self.role, worker="observer")
        command = [str(self._environment.python), "-m", module, *words]
        return answer(command, environment=role.environment(), timeout_s=seconds + PRODUCER_S)

    @contextlib.contextmanager
    def worker(self, *, number: int = 0, **role: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A worker process, ended with the context. ``role``: fields of Role that differ from the defaults."""
        process = self.start_worker(number=number, **role)
        try:
            yield process
        finally:
            end(process)

    def start_worker(self, *, number: int = 0, **role: Any) -> subprocess.Popen[bytes]:
        """A worker process that the caller ends."""
        own = replace(self.role, worker=f"worker-{number}", **role)
        words = [str(self._environment.python), "-m", "benchmarks.work", self.system.adapter]
        return start(words, log=self.directory / "worker.log", environment=own.environment())

    def await_count(self, count: int, processes: Sequence[subprocess.Popen[bytes]], *, timeout_s: float) -> None:
        """Return when that many jobs have run.

        Raises:
            FailedError: they have not in time, or a worker has ended; with the end of the worker's log.
        """

        def is_done() -> bool:
            if self.board.count() >= count:
                return True
            if any(process.poll() is not None for process in processes):
                raise FailedError("the worker has ended")
            return False

        try:
            wait_until(is_done, timeout_s=timeout_s, what=f"{count} jobs", interval_s=0.002)
        except FailedError as error:
            raise FailedError(f"{error}; {self.board.count()} have run. {self.log}") from error

    def make_ready(self, process: subprocess.Popen[bytes], *, queues: int = 1) -> None:
        """Run one job in each queue, so that the worker has started and is idle when this returns."""
        before = self.board.count()
        self.produce("one", count=queues, queues=queues)
        self.await_count(before + queues, [process], timeout_s=READY_S)
        time.sleep(0.1)

    def history(self, what: str) -> dict[str, list[float]]:
        """The jobs to which that happened by what they wrote down, and when, in monotonic seconds."""
        path = history(self.role.board)
        found: dict[str, list[float]] = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            kind, job, at = line.split(" ")
            if kind == what:
                found.setdefault(job, []).append(float(at))
        return found

    @property
    def log(self) -> str:
        """The end of what the workers have written."""
        path = self.directory / "worker.log"
        return tail(path.read_text(errors="replace")) if path.exists() else ""


def quantile(values: Sequence[float], hundredths: int) -> float:
    """The value that so many of a hundred are not above."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[hundredths - 1]
