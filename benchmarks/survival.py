"""What becomes of jobs whose worker is killed in their midst: measured, not claimed.

Five jobs, two of them running, one SIGKILL for the worker and all its children, then another worker. Every system has
its recovery set as short as its documentation allows (see ``recovery_s`` in its module), or the test would take hours.
Now and then another job is dispatched, as some systems only look for abandoned ones when there is something to do.
"""

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.catalogue import Group, System
from benchmarks.environments import Environment
from benchmarks.jobs import flag
from benchmarks.measure import READY_S, Bench
from benchmarks.processes import FailedError, kill, wait_until
from benchmarks.sizes import Size

JOBS = 5
RUNNING = 2
#: After which shares of the patience another job is dispatched.
_TRAFFIC = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Survival:
    """What was seen of one system."""

    system: str
    lost: int
    """Jobs that have not run again within the patience of this run."""
    again_s: float | None
    """Seconds from the kill until the last that came back had ended."""
    patience_s: float = 0.0
    """How long was waited."""
    note: str = ""
    """Why nothing was seen."""

    @property
    def words(self) -> str:
        """In one sentence."""
        if self.note:
            return f"not measured: {self.note}"
        if self.lost:
            return f"**{self.lost} of {JOBS} had not run again after {self.patience_s:.0f} s**"
        return f"none of {JOBS} lost; the last had run again {self.again_s:.0f} s after the kill"


def survive(system: System, environment: Environment, size: Size) -> Survival:
    """Kill a worker of this system and see."""
    try:
        with Bench(system, environment, size) as bench:
            return _kill_and_see(bench)
    except FailedError as error:
        return Survival(system.name, 0, None, note=str(error))


def _kill_and_see(bench: Bench) -> Survival:
    role = {"concurrency": RUNNING, "job": "hold", "recovery_s": bench.size.recovery_s}
    first = bench.start_worker(number=1, **role)
    try:
        bench.produce("one", "hold", count=JOBS, recovery_s=bench.size.recovery_s)
        wait_until(lambda: bench.history("started"), timeout_s=READY_S, what=f"a job starts. {bench.log}")
        # Until whoever takes two has taken both.
        time.sleep(1.0)
        flag(bench.role.board).touch()
    finally:
        kill(first)
    killed = time.monotonic()
    with bench.worker(number=2, **role):
        _await_end(bench, killed)
    ended = bench.history("ended")
    again_s = max(times[0] for times in ended.values()) - killed if ended else None
    return Survival(bench.system.name, JOBS - len(ended), again_s, bench.size.patience_s)


def _await_end(bench: Bench, killed: float) -> None:
    """Until all have ended, or patience has."""
    for share in _TRAFFIC:
        patience_s = max(0.0, killed + bench.size.patience_s * share - time.monotonic())
        with contextlib.suppress(FailedError):
            wait_until(lambda: len(bench.history("ended")) >= JOBS, timeout_s=patience_s, what="all end")
            return
        bench.produce("one", "noop", count=1)


def survive_all(pairs: Sequence[tuple[System, Environment]], size: Size) -> list[Survival]:
    """All at once: they only wait."""
    queues = [(system, environment) for system, environment in pairs if system.group is not Group.LIMIT]
    if not queues:
        return []
    with ThreadPoolExecutor(len(queues)) as pool:
        return list(pool.map(lambda pair: survive(pair[0], pair[1], size), queues))
