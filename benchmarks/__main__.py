"""``python -m benchmarks``: measure, print the report, and write it with its data and plots below ``.cache/``."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.catalogue import choose
from benchmarks.measure import SIZES
from benchmarks.plan import Plan, measurement_names
from benchmarks.plots import plot_all
from benchmarks.processes import ROOT
from benchmarks.report import report
from benchmarks.results import Results, read

OUTPUT = ROOT / ".cache" / "benchmarks" / "results"


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
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure Heracles and its peers.")
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument("--systems", default="", help="names, separated by commas; all by default")
    parser.add_argument("--only", default="", help=f"of {', '.join(measurement_names())}")
    parser.add_argument("--repeats", type=int, help="how often each is measured, in place of the size's own")
    parser.add_argument("--output", type=Path, help="a directory; by default a new one below .cache/")
    parser.add_argument("--from", dest="source", type=Path, help="measure nothing: report on this results.json")
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
    try:
        systems = choose(_names(given.systems))
    except KeyError as error:
        parser.error(str(error.args[0]))
    results = read(given.source) if given.source else Plan(systems, given.size, only, _tell, given.repeats).run()
    directory = given.output or OUTPUT / time.strftime("%Y%m%d-%H%M%S")
    print(write(results, directory))
    _tell(f"written to {directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
