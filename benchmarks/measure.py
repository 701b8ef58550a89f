"""The bench on which one system is measured: a fresh store, a fresh board, its producer and its workers."""

import contextlib
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.board import Board
from benchmarks.catalogue import System
from benchmarks.environments import Environment
from benchmarks.processes import FailedError, answer, end, start, tail, wait_until
from benchmarks.role import Role
from benchmarks.servers import Server


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured."""

    repeats: int
    dispatch_s: float
    """How long each way of dispatching is driven."""
    process_s: float
    """About how long the jobs of a processing run take."""
    least_jobs: int = 200
    """In a processing run of even the slowest system."""
    samples: int
    """Latencies of one run."""
    later: int
    """Scheduled jobs of one run."""
    idle_s: float
    backlog: int
    """Jobs queued in the large store; a tenth each scheduled and finished; 0: not measured."""
    queues: int
    """Queues of one worker."""
    crowd: int
    """Idle workers of one queue."""
    overlap_jobs: int
    recovery_s: int
    """After how many seconds a dead worker's jobs shall run again."""
    patience_s: float
    """How long to wait for them."""
    is_brief: bool = False
    """Peers take part in the core measurements only, and no worker is killed."""


TINY = Size(
    repeats=1, dispatch_s=0.1, process_s=0.01, samples=20, later=3, idle_s=0.3, backlog=0, queues=5, crowd=3,
    overlap_jobs=300, recovery_s=1, patience_s=15,
)  # fmt: skip
QUICK = Size(
    repeats=1, dispatch_s=0.25, process_s=0.4, samples=100, later=10, idle_s=1.0, backlog=0, queues=200, crowd=10,
    overlap_jobs=5000, recovery_s=5, patience_s=60, is_brief=True,
)  # fmt: skip
FULL = Size(
    repeats=3, dispatch_s=2.0, process_s=4.0, samples=1000, later=50, idle_s=10.0, backlog=1_000_000, queues=1000,
    crowd=100, overlap_jobs=10_000, recovery_s=10, patience_s=120,
)  # fmt: skip
SIZES: Mapping[str, Size] = {"tiny": TINY, "quick": QUICK, "full": FULL}

#: What a producer may take beyond the time it is given: to start, and to finish what is under way.
PRODUCER_S = 120.0
#: From the start of a worker to its first job.
READY_S = 30.0
#: A run that does not end in so many times the time it is sized for has stalled.
STALL_S = 120.0


class Bench:
    """One run of one system: use it once, as a context. ``role``: fields of all its processes' roles."""

    def __init__(self, system: System, environment: Environment, size: Size, **role: Any) -> None:
        self.system = system
        self.size = size
        self._environment = environment
        self._stack = contextlib.ExitStack()
        self.server: Server | None = None
        self.directory = Path()
        self.role = Role(url="", board="", **role)
        self.board: Board

    def __enter__(self) -> "Bench":
        self.directory = Path(tempfile.mkdtemp(prefix="heracles-benchmark-"))
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        if self.system.store == "sqlite":
            url = f"sqlite:///{self.directory / 'jobs.db'}"
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
