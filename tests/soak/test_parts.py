"""The parts of the soak that nothing random tests."""

from pathlib import Path

import pytest

from heracles.model import JobStatus
from tests import history
from tests.history import EVERYONE, Dispatched, Disturbed, Finished, Started
from tests.soak.__main__ import main
from tests.soak.faults import FAULTS
from tests.soak.field import Field
from tests.soak.plan import Plan
from tests.soak.processes import Fleet
from tests.soak.sites import ClusterSite, RedisSite, SentinelSite, Site, SqliteSite
from tests.soak.stories import stories

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
