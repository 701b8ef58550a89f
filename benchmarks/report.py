"""A run's results as Markdown, readable in a terminal too: figures, goals, what each system promises, the limits."""

from collections.abc import Iterable, Sequence

from benchmarks.catalogue import SYSTEMS, Group, System
from benchmarks.figures import FIGURES, Figure
from benchmarks.goals import Verdict, best_peer, judge
from benchmarks.results import Results, Row

_WORDS = {True: "yes", False: "no", None: "not compared"}


def report(results: Results) -> str:
    """All of it."""
    systems = [system for system in SYSTEMS if system.name in results.medians]
    parts = [
        _title(results),
        "## Figures\n\nThe median of each; ± half of what lies between the extremes of the repeats, where there were "
        "some. Peers are set for speed: arq, pydocket and huey on SQLite look for jobs every few milliseconds, which "
        "their idle workers pay for.",
        *_figure_tables(results, systems),
        "## Goals\n\n" + _goals(judge(results.medians, systems)),
        "## What becomes of jobs whose worker is killed\n\n" + _promises(results),
        "## Limits of the machine\n\n" + _limits(results),
    ]
    if results.failures:
        parts.append("## Not measured\n\n" + _failures(results))
    return "\n\n".join(parts) + "\n"


def _title(results: Results) -> str:
    facts = "; ".join(f"{name} {value}" for name, value in results.machine.items())
    versions = ", ".join(version for versions in results.versions.values() for version in versions)
    return f"# Benchmark ({results.size})\n\n{facts}.\n\n{versions}."


def _figure_tables(results: Results, systems: Sequence[System]) -> list[str]:
    on_redis = [system for system in systems if system.store == "redis"]
    on_sqlite = [system for system in systems if system.store == "sqlite"]
    with_log = [system for system in systems if system.name == "heracles" or system.store == "redis-aof"]
    tables = [_compared(results, on_redis, "to the best peer")]
    if len(on_sqlite) > 1:
        tables.append("On SQLite:\n\n" + _compared(results, on_sqlite, "to huey-sqlite"))
    if len(with_log) > 1:
        tables.append("With a log that Redis syncs every second:\n\n" + _compared(results, with_log, ""))
    tables.append(_alone(results, systems))
    return [text for text in tables if text]


def _compared(results: Results, systems: Sequence[System], comparison: str) -> str:
    """The figures that more than one of these systems have, with the ratio of the first to the best peer."""
    rows = {(row.system, row.figure): row for row in results.rows}
    body = []
    for figure in FIGURES:
        found = [rows.get((system.name, figure.key)) for system in systems]
        if sum(row is not None for row in found) > 1:
            ratio = [_ratio(figure, results, systems)] if comparison else []
            body.append([_heading(figure), *(_cell(row) for row in found), *ratio])
    head = ["", *(system.name for system in systems), *([comparison] if comparison else [])]
    return table(head, body) if body else ""


def _alone(results: Results, systems: Sequence[System]) -> str:
    """The figures that one system has."""
    body = []
    for figure in FIGURES:
        found = [row for row in results.rows if row.figure == figure.key]
        if len(found) == 1:
            body.append([_heading(figure), found[0].system, _cell(found[0])])
    return table(["", "system", "value"], body) if body else ""


def _heading(figure: Figure) -> str:
    return f"{figure.title}, {figure.unit}"


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    spread = f" ±{row.spread:.0%}" if len(row.values) > 1 else ""
    return number(row.median) + spread


def _ratio(figure: Figure, results: Results, systems: Sequence[System]) -> str:
    """How many times better Heracles is than the best of its peers among these systems."""
    medians = results.medians
    best = best_peer(figure.key, medians, systems)
    own = next((medians[system.name].get(figure.key) for system in systems if system.group is Group.HERACLES), None)
    if best is None or own is None:
        return ""
    better, worse = (own, medians[best][figure.key]) if figure.is_more_better else (medians[best][figure.key], own)
    return f"{better / worse:.1f}x {best}" if worse > 0 and better > 0 else f"– {best}"


def _goals(verdicts: Iterable[Verdict]) -> str:
    body = []
    for verdict in verdicts:
        goal = verdict.goal
        figure = next(figure for figure in FIGURES if figure.key == goal.figure)
        word = "at least" if figure.is_more_better else "at most"
        wanted = [f"{goal.ratio:.2g}x {goal.against.removeprefix(':')}"] if goal.ratio is not None else []
        wanted += [f"{word} {number(goal.bound)}"] if goal.bound is not None else []
        ratio = f"{verdict.ratio:.2f}x {verdict.against}" if verdict.ratio is not None else ""
        body.append(
            [goal.system, f"{figure.title}, {figure.unit}", "; ".join(wanted), number(verdict.measured), ratio,
             _WORDS[verdict.is_met]]
        )  # fmt: skip
    return table(["", "figure", "wanted", "measured", "ratio", "reached"], body) if body else "None was measured."


def _promises(results: Results) -> str:
    seen = {survival.system: survival.words for survival in results.survivals}
    body = [[system.name, system.promise, seen[system.name]] for system in SYSTEMS if system.name in seen]
    note = (
        "Five jobs, two of them running, when their worker is killed with SIGKILL and another is started. Recovery is "
        "set as short as each system can be told (its module in `benchmarks/systems/` has the settings).\n\n"
    )
    return note + table(["", "what it promises", "what was seen"], body) if body else _not_measured("survival")


def _limits(results: Results) -> str:
    body = [[title, number(value)] for title, value in results.limits.items()]
    note = "\n\n`bare` in the table of figures is one stream, one consumer group and a script that only adds entries."
    return table(["", "commands/s"], body) + note if body else _not_measured("limits")


def _not_measured(name: str) -> str:
    return f"Not measured in this run: `python -m benchmarks --only {name}`."


def _failures(results: Results) -> str:
    body = [[failure.system, failure.measurement, _escaped(failure.reason)] for failure in results.failures]
    return table(["", "measurement", "reason"], body)


def number(value: float) -> str:
    """With three digits that count."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")[:300]


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up."""
    widths = [max(len(row[column]) for row in (head, *body)) for column in range(len(head))]
    lines = [_line(head, widths), _line(["-" * width for width in widths], widths)]
    return "\n".join([*lines, *(_line(row, widths) for row in body)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
