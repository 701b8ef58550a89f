"""Every system has its adapter, its requirements and its place."""

import ast
import collections
from pathlib import Path

import pytest

import benchmarks.systems
from benchmarks.__main__ import main
from benchmarks.catalogue import ENVIRONMENTS, SYSTEMS, System, choose
from benchmarks.environments import prepare_all, requirements
from benchmarks.figures import FIGURES
from benchmarks.goals import GOALS, figure_named
from benchmarks.plan import Plan

_ADAPTERS = Path(benchmarks.systems.__file__).parent


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_a_system_has_an_adapter_with_a_producer_and_a_worker(system: System) -> None:
    tree = ast.parse((_ADAPTERS / f"{system.adapter}_adapter.py").read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}

    assert {"producer", "work"} <= functions
    assert system.promise.endswith(".")


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_requirements_of_a_peer_are_all_pinned(name: str) -> None:
    pinned = requirements(name)
    lines = [line for line in pinned.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    wanted = pinned.with_name(f"{name}.in").read_text().split()

    assert lines
    assert all("==" in line for line in lines), lines
    for distribution in wanted:
        assert any(line.startswith(distribution.split("[", maxsplit=1)[0]) for line in lines), distribution


def test_a_peer_that_cannot_be_installed_is_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    peers = tmp_path / "peers"
    peers.mkdir()
    (peers / "absent.in").write_text("absent\n")
    (peers / "requirements-absent.txt").write_text(f"absent @ file://{tmp_path}/nowhere.whl\n")
    monkeypatch.setattr("benchmarks.environments._PEERS", peers)
    monkeypatch.setattr("benchmarks.environments.PLACE", tmp_path / "environments")

    made, failed = prepare_all(["absent"], lambda line: None)

    assert not made
    assert "nowhere.whl" in failed["absent"]


def test_systems_are_chosen_by_name_and_an_unknown_one_is_named() -> None:
    assert [system.name for system in choose(["saq", "heracles"])] == ["heracles", "saq"]
    assert choose([]) == list(SYSTEMS)
    with pytest.raises(KeyError, match="sidekiq"):
        choose(["sidekiq"])


def test_a_page_is_only_written_from_results(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["page"])

    assert ended.value.code == 2
    assert "--from" in capsys.readouterr().err


def test_a_full_run_measures_the_core_figures_of_peers_as_often_as_its_own_and_all_else_once() -> None:
    plan = Plan(choose([]), "full", [], lambda line: None)
    times = collections.Counter((step.name, system.name) for _, step, system in plan.steps(choose([])))

    assert times["process-one", "saq"] == times["process-one", "heracles"] == times["later", "heracles"] == 3
    assert times["later", "saq"] == times["backlog", "heracles"] == times["growth-backlog", "heracles"] == 1
    assert times["growth-backlog", "saq"] == times["later", "rq"] == 0


def test_a_quick_run_leaves_out_what_takes_long() -> None:
    plan = Plan(choose([]), "quick", [], lambda line: None)
    times = collections.Counter((step.name, system.name) for _, step, system in plan.steps(choose([])))

    assert times["process-one", "saq"] == times["later", "heracles"] == 1
    assert times["later", "saq"] == times["backlog", "heracles"] == times["growth-backlog", "heracles"] == 0
    assert plan.estimate_s(choose([])) < 180


@pytest.mark.parametrize("arguments", [["--systems=sidekiq"], ["--only=sidekiq"], ["--size=vast"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert arguments[0].split("=")[1] in capsys.readouterr().err


def test_goals_name_figures_and_systems_that_exist() -> None:
    names = {system.name for system in SYSTEMS}

    for goal in GOALS:
        assert figure_named(goal.figure)
        assert goal.system in names
        assert goal.against.startswith((":", "best peer")) or goal.against in names
    assert len({figure.key for figure in FIGURES}) == len(FIGURES)
