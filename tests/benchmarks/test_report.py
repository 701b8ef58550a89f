"""What is made of a run's values."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import main, write
from benchmarks.catalogue import SYSTEMS
from benchmarks.goals import Verdict, judge
from benchmarks.report import number, report, table
from benchmarks.results import Failure, Results, Row, read
from benchmarks.survival import Survival


@pytest.fixture
def results() -> Results:
    found = Results("tiny", {"cores": "2"}, {"saq": ["saq==1.0"]})
    for rate in (90_000.0, 100_000.0, 120_000.0):
        found.add("heracles", {"process-one": rate, "latency-p50": 0.1})
    found.add("saq", {"process-one": 5_000.0, "latency-p50": 0.5, "dispatch-one": 9_000.0})
    found.add("huey", {"process-one": 4_000.0, "latency-p50": 0.4, "dispatch-one": 30_000.0})
    found.add("bare", {"process-one": 300_000.0})
    found.limits = {"redis-benchmark": 100_000.0}
    found.survivals = [Survival("saq", 0, 9.6, 20.0), Survival("huey", 2, None, 20.0)]
    found.failures = [Failure("rq", "install", "no such | version")]
    return found


def _verdicts(results: Results) -> dict[str, Verdict]:
    return {verdict.goal.figure: verdict for verdict in judge(results.medians, SYSTEMS)}


def test_a_goal_is_compared_with_the_best_peer_and_with_its_bound(results: Results) -> None:
    verdict = _verdicts(results)["process-one"]

    assert (verdict.against, verdict.ratio, verdict.is_met) == ("saq", 20.0, True)


def test_a_goal_in_which_less_is_better(results: Results) -> None:
    results.add("heracles", {"memory": 460.0})

    assert _verdicts(results)["latency-p50"].is_met
    assert not _verdicts(results)["memory"].is_met


def test_dispatching_is_compared_with_peers_that_keep_a_job_until_it_has_run(results: Results) -> None:
    results.add("heracles", {"dispatch-one": 12_000.0})

    verdict = _verdicts(results)["dispatch-one"]

    assert (verdict.against, verdict.is_met) == ("saq", True)


def test_a_goal_without_anything_to_compare_with_is_open_unless_its_bound_is_missed(results: Results) -> None:
    results.add("heracles", {"process-threads": 9_000.0, "process-two": 1.0})

    assert _verdicts(results)["process-threads"].is_met is None
    assert _verdicts(results)["process-two"].is_met is False


def test_a_goal_against_another_figure_of_the_same_system(results: Results) -> None:
    results.add("heracles", {"overlap": 50_000.0})

    verdict = _verdicts(results)["overlap"]

    assert (verdict.ratio, verdict.is_met) == (0.5, True)


def test_median_and_spread() -> None:
    row = Row("heracles", "process-one", (90.0, 100.0, 120.0))

    assert (row.median, row.spread) == (100.0, 0.15)


def test_the_report_has_figures_goals_promises_limits_and_what_failed(results: Results) -> None:
    text = report(results)

    assert "100,000 ±15%" in text
    assert "20.0x saq" in text
    assert "the last had run again 10 s after the kill" in text
    assert "2 of 5 had not run again after 20 s" in text
    assert "redis-benchmark" in text
    assert "no such \\| version" in text


def test_a_report_of_nothing_says_so() -> None:
    text = report(Results("tiny", {}, {}))

    assert "None was measured" in text
    assert "Not measured" in text


def test_data_come_back_as_written_and_make_the_same_report(results: Results, tmp_path: Path) -> None:
    text = write(results, tmp_path)

    assert (tmp_path / "report.md").read_text() == text
    assert report(read(tmp_path / "results.json")) == text
    assert main([f"--from={tmp_path / 'results.json'}", f"--output={tmp_path / 'again'}"]) == 0
    assert (tmp_path / "again" / "report.md").read_text() == text


def test_plots_are_drawn_of_what_several_systems_have_with_the_best_on_top(results: Results, tmp_path: Path) -> None:
    write(results, tmp_path)

    assert {path.stem for path in tmp_path.glob("*.svg")} == {"process-one", "latency-p50", "dispatch-one"}
    drawn = ElementTree.parse(tmp_path / "process-one.svg")
    texts = [element.text for element in drawn.iter() if element.tag.endswith("text")]
    assert texts[1::2] == ["bare", "heracles", "saq", "huey"]


def test_tables_line_up() -> None:
    lines = table(["", "value"], [["a", "1,000"], ["longer", "2"]]).splitlines()

    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.123"), (12.345, "12.3"), (123.4, "123"), (45_678.9, "45,679"), (0, "0")]
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text
