"""The parts of the soak that nothing random tests."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heracles.model import JobStatus
from tests import history
from tests.cli.process import environment
from tests.history import EVERYONE, Dispatched, Disturbed, Finished, Started
from tests.history.events import FROZEN
from tests.servers import start_process
from tests.soak.__main__ import main
from tests.soak.faults import FAULTS
from tests.soak.field import Field
from tests.soak.plan import Plan
from tests.soak.processes import PYTHON_PATH, Fleet
from tests.soak.sites import ClusterSite, RedisSite, SentinelSite, Site, SqliteSite
from tests.soak.stalls import is_stall
from tests.soak.stories import stories
from tests.waiting import eventually_sync

PLAN = Plan(transport="sqlite", faults=(), seed=1)


@pytest.fixture
def field(tmp_path: Path) -> Field:
    made = Field(PLAN, tmp_path, SqliteSite(tmp_path))
    made.fleet = Fleet([], made.rng, made.note, made.problems)
    return made


@pytest.mark.parametrize("site", [SqliteSite, RedisSite, SentinelSite, ClusterSite])
def test_every_fault_of_a_store_is_one_that_there_is(site: type[Site]) -> None:
    assert set(site.faults) <= FAULTS.keys()


def test_every_fault_suits_a_store() -> None:
    sites = (SqliteSite, RedisSite, SentinelSite, ClusterSite)
    assert {name for site in sites for name in site.faults} == FAULTS.keys()


def test_healing_does_all_that_is_left_in_its_order(field: Field) -> None:
    done: list[str] = []
    field.later(60, lambda: done.append("last"))
    field.later(30, lambda: field.later(0, lambda: done.append("first")))
    field.catch_up()
    assert done == []
    field.heal()
    assert done == ["first", "last"]


def test_an_outage_is_written_down_when_it_is_over(field: Field) -> None:
    end = field.begin_outage()
    assert field.is_store_disturbed
    end()
    assert not field.is_store_disturbed
    [event] = history.read(field.history)
    assert isinstance(event, Disturbed)
    assert event.worker == EVERYONE


def test_a_worker_that_gets_no_processor_is_written_down_as_frozen(tmp_path: Path) -> None:
    program = (
        "import pathlib, time\nfrom tests import history\nfrom tests.soak.stalls import StallWatch\n"
        f"path = pathlib.Path({str(tmp_path / 'history.jsonl')!r})\n"
        "StallWatch('worker-1.1', 0.5, lambda event: history.append(path, event)).start()\n"
        "print('on', flush=True)\ntime.sleep(120)\n"
    )
    process = start_process(
        [sys.executable, "-c", program], env=environment(PYTHONPATH=PYTHON_PATH), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        with process.stdout as out:
            assert out.readline() == b"on\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        process.send_signal(signal.SIGCONT)
        eventually_sync((tmp_path / "history.jsonl").exists, what="it is written down")
        event = history.read(tmp_path / "history.jsonl")[0]
    finally:
        process.kill()
        process.wait()
    assert isinstance(event, Disturbed)
    assert (event.worker, event.how) == ("worker-1.1", FROZEN)
    assert event.until_ms is not None
    assert event.until_ms - event.from_ms > 500


def test_a_process_that_holds_up_its_own_threads_was_not_frozen() -> None:
    assert is_stall(1.1, 0.3, 1.0)
    assert not is_stall(1.1, 0.8, 1.0)
    assert not is_stall(0.9, 0.0, 1.0)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    PLAN.write(tmp_path)
    assert Plan.read(tmp_path) == PLAN


def test_a_story_has_what_happened_to_its_jobs_and_their_workers() -> None:
    events: list[history.AnyEvent] = [
        Dispatched(queue="q", job_id="j", dispatch_id="a-1", sent_ms=1000, acknowledged_ms=1001),
        Dispatched(queue="q", job_id="j", dispatch_id="a-11", sent_ms=1000, acknowledged_ms=1001),
        Started(queue="q", job_id="j", dispatch_id="a-1", worker="w-1", token=1, retries=0, stored_ms=1500, at_ms=1500),
        Disturbed(worker="w-1", how="killed", from_ms=1600),
        Disturbed(worker="w-2", how="killed", from_ms=1600),
        Finished(dispatch_id="a-1", status=JobStatus.RUNNING, token=1, retries=0),
    ]
    [story] = stories(["ended_once: a-1 ended 1 times"], events)
    first, *lines = story.splitlines()
    assert first == "ended_once: a-1 ended 1 times"
    assert [line.split()[:2] for line in lines] == [
        ["0", "Dispatched"],
        ["500", "Started"],
        ["600", "Disturbed"],
        ["end", "Finished"],
    ]


@pytest.mark.parametrize("faults", ["server-kill", "worker-kill,nonsense"])
def test_a_fault_that_does_not_suit_the_store_is_refused(
    faults: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--transport=sqlite", f"--faults={faults}", f"--folder={tmp_path}"])
    assert refused.value.code == 2
    assert faults.rpartition(",")[2] in capsys.readouterr().err
