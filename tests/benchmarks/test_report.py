"""What is made of a run's values."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import main, write
from benchmarks.catalogue import SYSTEMS
from benchmarks.goals import Verdict, judge
from benchmarks.page import DOCS, PAGES, filled, write_pages
from benchmarks.report import NOTHING, SECTIONS, growth, number, parts, report, table, wall, with_log
from benchmarks.results import Failure, Results, Row, read, read_all
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

    assert all(section(Results("tiny", {}, {})).endswith(NOTHING) for _, section in SECTIONS.values())
    assert NOTHING in text


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


@pytest.fixture
def grown() -> Results:
    found = Results("tiny", {}, {})
    found.add("heracles", {"queue-limit": 60_000.0, "process-one": 50_000.0})
    for workers, cpu_us in (("1", 20.0), ("2", 22.0)):
        found.add("heracles", {f"growth-workers-cpu@{workers}": cpu_us, f"growth-workers-redis-cpu@{workers}": 10.0})
    found.add("heracles", {"growth-backlog-claim@0": 0.1, "growth-backlog-claim@1000": 0.2})
    found.add("heracles", {"profile-worker@run": 3.0, "profile-worker@decide": 1.0})
    return found


def test_growth_has_a_row_a_point_and_a_plot_with_all_points(grown: Results, tmp_path: Path) -> None:
    lines = growth(grown, "jobs queued").splitlines()

    assert [line.split("|")[1].strip() for line in lines] == [
        "jobs queued",
        lines[1].split("|")[1].strip(),
        "0",
        "1,000",
    ]
    write(grown, tmp_path)
    drawn = ElementTree.parse(tmp_path / "growth-backlog-claim.svg")
    assert sum(element.tag.endswith("circle") for element in drawn.iter()) == 2


def test_parts_add_up_and_the_largest_comes_first(grown: Results) -> None:
    lines = parts(grown).splitlines()

    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "part",
        lines[3].split("|")[1].strip(),
        "run",
        "decide",
        "all",
    ]
    assert "75%" in lines[4]
    assert "4" in lines[6]


def test_the_parts_of_one_job_are_printed_from_results_too(
    grown: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grown.write(tmp_path / "results.json")

    assert main(["profile", f"--from={tmp_path / 'results.json'}"]) == 0
    assert capsys.readouterr().out.strip() == parts(grown)


def test_the_wall_of_one_queue_is_told_by_what_a_job_takes(grown: Results) -> None:
    assert "60,000 jobs a second" in wall(grown)
    assert "from 2.0 worker processes on" in wall(grown)


def test_what_a_log_costs(results: Results) -> None:
    results.add("heracles-aof", {"process-one": 90_000.0, "latency-p50": 0.2})

    assert with_log(results).count("90%") == 1
    assert with_log(results).count("50%") == 1


# --------------------------------------------------------------------------------------------------------- several runs


def test_of_two_runs_the_later_one_counts_for_what_both_have(results: Results, tmp_path: Path) -> None:
    again = Results("tiny", {}, {})
    again.add("heracles", {"process-one": 77_000.0})
    again.done = {("rq", "install")}
    results.write(tmp_path / "first.json")
    again.write(tmp_path / "second.json")

    joined = read_all([tmp_path / "first.json", tmp_path / "second.json"])

    assert joined.medians["heracles"] == {"process-one": 77_000.0, "latency-p50": 0.1}
    assert joined.medians["saq"] == results.medians["saq"]
    assert not joined.failures
    assert len(joined.survivals) == 2


def test_a_page_gets_its_blocks_and_keeps_the_rest(results: Results, tmp_path: Path) -> None:
    (tmp_path / "decisions").mkdir()
    for page in PAGES:
        (tmp_path / page).write_text(
            "# Title\n\n<!-- begin: figures, written by python -m benchmarks page -->\nold\n<!-- end -->\nPlots:\n\n"
            "<!-- begin: plots, written by python -m benchmarks page -->\n<!-- end -->\nThe end.\n"
        )

    write_pages(results, tmp_path)
    once = (tmp_path / PAGES[0]).read_text()
    write_pages(results, tmp_path)

    assert once == (tmp_path / PAGES[0]).read_text()
    assert once.startswith("# Title\n")
    assert once.endswith("<!-- end -->\nThe end.\n")
    assert "100,000 ±15%" in once
    assert "old" not in once
    assert {path.stem for path in (tmp_path / "performance").iterdir()} == {"process-one", "latency-p50"}
    assert "(performance/process-one.svg)" in once


def test_the_pages_of_the_docs_have_only_blocks_that_there_are(results: Results) -> None:
    for page in PAGES:
        text = (DOCS / page).read_text()

        assert text.count("<!-- begin: ") == text.count("<!-- end -->") > 0
        filled(text, results, [])


def test_tables_line_up() -> None:
    lines = table(["", "value"], [["a", "1,000"], ["longer", "2"]]).splitlines()

    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.123"), (12.345, "12.3"), (123.4, "123"), (45_678.9, "45,679"), (0, "0")]
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text
