"""``python -m benchmarks``: measure, print the report, and write it with its data and plots below ``.cache/``."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.catalogue import System, choose
from benchmarks.figures import parts as parts_of_one_job
from benchmarks.page import write_pages
from benchmarks.plan import Plan, measurement_names
from benchmarks.plots import plot_all
from benchmarks.processes import ROOT
from benchmarks.report import parts, report
from benchmarks.results import Results, read_all
from benchmarks.sizes import SIZES

OUTPUT = ROOT / ".cache" / "benchmarks" / "results"
_COMMANDS = """
commands:
  run      measure and report; the default
  profile  only where the time and memory of one job go
  page     write the results of --from into docs/performance.md and docs/decisions/partitions.md
"""


def write(results: Results, directory: Path) -> str:
    """Put data, plots and report there; returns the report."""
    directory.mkdir(parents=True, exist_ok=True)
    text = report(results)
    results.write(directory / "results.json")
    (directory / "report.md").write_text(text)
    plot_all(results, directory)
    return text


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description="Measure Heracles and its peers.",
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=("run", "profile", "page"), default="run")
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument("--systems", default="", help="names, separated by commas; all by default")
    parser.add_argument("--only", default="", help=f"of {', '.join(measurement_names())}")
    parser.add_argument("--repeats", type=int, help="how often each is measured, in place of the size's own")
    parser.add_argument("--output", type=Path, help="a directory; by default a new one below .cache/")
    parser.add_argument(
        "--from", dest="sources", type=Path, action="append",
        help="measure nothing: report on this results.json; given again, the later one counts for what both have",
    )  # fmt: skip
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = _parser()
    given = parser.parse_args(arguments)
    only = _names(given.only)
    if unknown := sorted(set(only) - set(measurement_names())):
        parser.error(f"no such measurement: {', '.join(unknown)}")
    if given.command == "page" and not given.sources:
        parser.error("page needs --from, a results.json")
    try:
        systems = choose(_names(given.systems))
    except KeyError as error:
        parser.error(str(error.args[0]))
    if given.command == "page":
        for path in write_pages(read_all(given.sources)):
            print(path)
    elif given.command == "profile":
        only = [measurement.name for measurement in parts_of_one_job.MEASUREMENTS]
        print(parts(_results(given, choose(["heracles"]), only)))
    else:
        _report(given, systems, only)
    return 0


def _results(given: argparse.Namespace, systems: Sequence[System], only: Sequence[str]) -> Results:
    if given.sources:
        return read_all(given.sources)
    directory = _directory(given)

    def save(results: Results) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        results.write(directory / "results.json")

    return Plan(systems, given.size, only, _tell, given.repeats, save).run()


def _report(given: argparse.Namespace, systems: Sequence[System], only: Sequence[str]) -> None:
    directory = given.output = _directory(given)
    print(write(_results(given, systems, only), directory))
    _tell(f"written to {directory}")


def _directory(given: argparse.Namespace) -> Path:
    chosen: Path | None = given.output
    return chosen or OUTPUT / time.strftime("%Y%m%d-%H%M%S")


if __name__ == "__main__":
    sys.exit(main())
