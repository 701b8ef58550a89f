"""The processes of a soak: workers that are killed and started again, producers, and one that watches."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from heracles.units import now_ms
from tests.cli.process import environment
from tests.history import Disturbed
from tests.history.events import FROZEN, KILLED
from tests.servers import start_process
from tests.soak.plan import QUEUES, Plan

_ROOT = Path(__file__).parents[2]
#: The tests and the package beside them.
PYTHON_PATH = os.pathsep.join((str(_ROOT), str(_ROOT / "src")))
#: A worker that is told to stop ends within this, also on a busy machine: no job takes longer than a few seconds.
STOP_S = 45.0
#: And within this when it is told twice.
FORCED_STOP_S = 25.0
#: Until a dead one is started again, at most.
_LONGEST_ABSENCE_S = 1.0

#: How the names of workers begin.
WORKER = "worker-"

#: Writes an event down.
Note = Callable[[Disturbed], None]


class Child:
    """One process and what it was started with. Each start has a name of its own."""

    def __init__(self, name: str, command: tuple[str, ...], folder: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self._command, self._folder, self._env = command, folder, env
        self.life = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / f"{name}.log"

    @property
    def label(self) -> str:
        """This life of it."""
        return f"{self.name}.{self.life}"

    def start(self) -> None:
        """Begin its next life."""
        self.life += 1
        with self.log.open("ab") as out:
            out.write(f"--- {self.label} at {now_ms()}\n".encode())
            out.flush()
            self.process = start_process(
                [sys.executable, "-m", *self._command],
                cwd=self._folder,
                env=environment(**self._env, SOAK_NAME=self.label, PYTHONUNBUFFERED="1", PYTHONPATH=PYTHON_PATH),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # An interrupt from the terminal is for the driver, which ends the others.
                start_new_session=True,
            )

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs, or has not begun."""
        return None if self.process is None else self.process.poll()

    @property
    def is_running(self) -> bool:
        """Whether it has begun and not ended."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Nothing where it has ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for its end; also of one that is frozen."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def await_end(self, seconds: float) -> int | None:
        """Its exit code, None where it still runs then."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def has_said(self, text: str) -> bool:
        """Whether this life of it has logged that."""
        said = self.log.read_text(errors="replace").rpartition(f"--- {self.label} ")[2]
        return text in said


class WorkerProcess(Child):
    """``heracles work``."""

    def __init__(self, number: int, plan: Plan, folder: Path, env: Mapping[str, str]) -> None:
        name = f"{WORKER}{number}"
        # Every other one serves a single queue: on Redis it waits for its jobs in another way.
        queues = QUEUES if number % 2 else (QUEUES[number // 2 % len(QUEUES)],)
        command = (
            "heracles", "work", f"--id={name}", f"--queues={','.join(queues)}", f"--concurrency={plan.concurrency}",
            "--app=tests.soak.jobs", f"--lease={plan.lease_ms}", "--wait-for-store",
        )  # fmt: skip
        super().__init__(name, command, folder, env)
        self.number = number
        #: What is done to it; nothing else is then.
        self.trouble = ""
        #: Its exit is looked for until then: it was told to stop.
        self.stops_by: float | None = None

    @property
    def has_begun(self) -> bool:
        """Whether it has said who it is."""
        return self.has_said("pid")

    @property
    def is_free(self) -> bool:
        """Whether something may be done to it."""
        return self.is_running and not self.trouble


class Fleet:
    """All workers. ``problems``: what they did that they must not do, in words."""

    def __init__(self, workers: list[WorkerProcess], rng: random.Random, note: Note, problems: list[str]) -> None:
        self.workers = workers
        self._rng, self._note, self._problems = rng, note, problems
        self._start_at: dict[int, float] = {}

    def start(self) -> None:
        """All."""
        for worker in self.workers:
            worker.start()

    def free(self) -> list[WorkerProcess]:
        """Those to which something may be done."""
        return [worker for worker in self.workers if worker.is_free]

    def tend(self) -> None:
        """Start again what has ended."""
        for worker in self.workers:
            if worker.is_running:
                self._check_stop(worker)
            elif worker.number not in self._start_at:
                self._check_exit(worker)
                worker.trouble, worker.stops_by = "", None
                self._start_at[worker.number] = time.monotonic() + self._rng.random() * _LONGEST_ABSENCE_S
            elif self._start_at[worker.number] <= time.monotonic():
                del self._start_at[worker.number]
                worker.start()

    def _check_stop(self, worker: WorkerProcess) -> None:
        if worker.stops_by is not None and time.monotonic() > worker.stops_by:
            self._problems.append(f"{worker.label} was told to stop and has not: {worker.log}")
            self.kill(worker)

    def _check_exit(self, worker: WorkerProcess) -> None:
        # A job may have killed it, also while it was about to stop.
        expected = [-signal.SIGKILL]
        if worker.stops_by is not None:
            expected.append(0)
        if worker.has_said("could not be given back"):
            # It was told to hurry while its store was away, and has said what becomes of its jobs.
            expected.append(1)
        if worker.code not in expected:
            self._problems.append(f"{worker.label} ended with {worker.code}: {worker.log}")

    # ------------------------------------------------------------------------------------------ what is done to them

    def kill(self, worker: WorkerProcess) -> None:
        """SIGKILL."""
        self._note(Disturbed(worker=worker.label, how=KILLED, from_ms=now_ms()))
        worker.kill()

    def freeze(self, worker: WorkerProcess) -> Callable[[], None]:
        """SIGSTOP; returns what ends it."""
        label, from_ms = worker.label, now_ms()
        worker.trouble = FROZEN
        worker.signal(signal.SIGSTOP)

        def thaw() -> None:
            worker.signal(signal.SIGCONT)
            worker.trouble = ""
            self._note(Disturbed(worker=label, how=FROZEN, from_ms=from_ms, until_ms=now_ms()))

        return thaw

    def stop(self, worker: WorkerProcess) -> None:
        """SIGTERM; it ends when its jobs have."""
        worker.trouble, worker.stops_by = "told to stop", time.monotonic() + STOP_S
        worker.signal(signal.SIGTERM)

    def force(self, worker: WorkerProcess) -> None:
        """A second SIGTERM: it gives back what it has, and code in its threads ends with it."""
        if worker.is_running and worker.stops_by is not None:
            self._note(Disturbed(worker=worker.label, how=KILLED, from_ms=now_ms()))
            worker.stops_by = min(worker.stops_by, time.monotonic() + FORCED_STOP_S)
            worker.signal(signal.SIGTERM)

    def end(self) -> None:
        """All, as at the end of a day; whoever does not is a problem."""
        running = [worker for worker in self.workers if worker.is_running]
        for worker in self.workers:
            if not worker.is_running and worker.number not in self._start_at:
                self._check_exit(worker)
        for worker in running:
            if worker.stops_by is None:
                # It knows no signals before it has said who it is.
                worker.signal(signal.SIGTERM if worker.has_begun else signal.SIGKILL)
        for worker in running:
            code = worker.await_end(STOP_S)
            if code is None or (code != 0 and worker.has_begun):
                self._problems.append(f"{worker.label} ended with {code} at the end: {worker.log}")


def process_environment(folder: Path, url: str, options: str) -> Mapping[str, str]:
    """What every process of the soak is told."""
    return {"HERACLES_URL": url, "SOAK_FOLDER": str(folder), "SOAK_OPTIONS": options}
