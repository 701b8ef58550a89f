"""The soak itself, small: it runs, finds nothing wrong, says what it did, and leaves nothing behind."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # no stubs are installed
import pytest

from tests import history
from tests.cli.process import environment
from tests.history import Dispatched, Started
from tests.servers import MissingServerError, redis_7
from tests.soak.plan import Plan
from tests.soak.processes import PYTHON_PATH
from tests.soak.run import Soak
from tests.soak.sites import RedisSite, Site, SqliteSite
from tests.waiting import eventually_sync

#: Longer than any machine takes: a lease of this length is lost by faults only.
LEASE_MS = 6000
#: Those that are over soon; a worker that is killed or frozen for long costs a lease.
FAULTS = ("worker-kill", "worker-freeze", "worker-stop", "producer-kill")


def _site(transport: str, folder: Path, workers: int) -> Site:
    if transport == "sqlite":
        return SqliteSite(folder)
    try:
        redis_7()
    except MissingServerError as missing:
        pytest.skip(str(missing))
    return RedisSite(workers)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("transport", ["sqlite", "redis"])
def test_a_short_soak_finds_nothing_wrong(transport: str, tmp_path: Path) -> None:
    plan = Plan(
        transport=transport, faults=FAULTS, seed=7, seconds=8, lease_ms=LEASE_MS, workers=2, producers=1, rate=4,
        calm_s=2, patience_s=120, drain_s=240,
    )  # fmt: skip
    lines: list[str] = []
    result = Soak(plan, _site(transport, tmp_path, plan.workers), tmp_path, lines.append).run()
    assert (result.violations, result.problems) == ([], [])
    assert sum(result.faults.values()) > 0
    assert {Dispatched, Started} <= {type(event) for event in result.events}
    assert lines


def test_an_interrupted_soak_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.soak", "--transport=sqlite", "--minutes=5", f"--folder={tmp_path}"]
    soak = subprocess.Popen(command, env=environment(PYTHONPATH=PYTHON_PATH), stdout=subprocess.PIPE, text=True)
    try:
        path = tmp_path / "history.jsonl"
        eventually_sync(
            lambda: path.exists() and any(isinstance(event, Dispatched) for event in history.read(path)),
            deadline_s=90,
        )
        children = psutil.Process(soak.pid).children(recursive=True)
        assert children
        soak.send_signal(signal.SIGINT)
        assert soak.wait(60) == 130
        _, alive = psutil.wait_procs(children, timeout=30)
        assert alive == []
    finally:
        soak.kill()
        soak.communicate()
