"""A run's results as Markdown, readable in a terminal too: figures, goals, what each system promises, the limits."""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.catalogue import SYSTEMS, Group, System
from benchmarks.figures import FIGURES, SERIES, Figure, Series
from benchmarks.goals import best_peer, judge
from benchmarks.results import Results, Row

NOTHING = "Not measured in this run."
_WORDS = {True: "yes", False: "no", None: "not compared"}


def report(results: Results) -> str:
    """All of it."""
    parts = [_title(results)]
    for title, section in SECTIONS.values():
        parts.append(f"## {title}\n\n{section(results)}")
    if results.failures:
        parts.append("## Not measured\n\n" + _failures(results))
    return "\n\n".join(parts) + "\n"


def _title(results: Results) -> str:
    return f"# Benchmark ({results.size})\n\n{machine(results)}"


def machine(results: Results) -> str:
    """On what, and of what."""
    facts = "; ".join(f"{name} {value}" for name, value in results.machine.items())
    versions = ", ".join(version for versions in results.versions.values() for version in versions)
    return f"{facts}.\n\n{versions}."


# ------------------------------------------------------------------------------------------------------------ figures


def _systems(results: Results) -> list[System]:
    return [system for system in SYSTEMS if system.name in results.medians]


def figures(results: Results) -> str:
    """Heracles beside its peers on Redis."""
    note = (
        "The median of each; ± half of what lies between the extremes of the repeats, where there were some. Peers are "
        "set for speed: arq, pydocket and huey on SQLite look for jobs every few milliseconds, which their idle "
        "workers pay for."
    )
    on_redis = [system for system in _systems(results) if system.store == "redis"]
    return f"{note}\n\n{_compared(results, on_redis, 'to the best peer') or NOTHING}"


def on_sqlite(results: Results) -> str:
    """The same on SQLite."""
    systems = [system for system in _systems(results) if system.store == "sqlite"]
    return _compared(results, systems, "to huey-sqlite") or NOTHING


def with_log(results: Results) -> str:
    """What a log that Redis syncs every second costs."""
    medians, body = results.medians, []
    for figure in FIGURES:
        plain, logged = (medians.get(name, {}).get(figure.key) for name in ("heracles", "heracles-aof"))
        if plain and logged:
            share = logged / plain if figure.is_more_better else plain / logged
            body.append([_heading(figure), number(plain), number(logged), f"{share:.0%}"])
    return table(["", "none", "every second", "share kept"], body) if body else NOTHING


def alone(results: Results) -> str:
    """The figures that one system has."""
    body = []
    for figure in FIGURES:
        found = [row for row in results.rows if row.figure == figure.key]
        if len(found) == 1:
            body.append([_heading(figure), found[0].system, _cell(found[0])])
    return table(["", "system", "value"], body) if body else NOTHING


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


def goals(results: Results) -> str:
    """What Heracles has to reach, and whether it does."""
    body = []
    for verdict in judge(results.medians, _systems(results)):
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
    return table(["", "figure", "wanted", "measured", "ratio", "reached"], body) if body else NOTHING


def promises(results: Results) -> str:
    """What becomes of jobs whose worker is killed."""
    seen = {survival.system: survival.words for survival in results.survivals}
    body = [[system.name, system.promise, seen[system.name]] for system in SYSTEMS if system.name in seen]
    note = (
        "Five jobs, two of them running, when their worker is killed with SIGKILL and another is started. Recovery is "
        "set as short as each system can be told (its module in `benchmarks/systems/` has the settings).\n\n"
    )
    return note + table(["", "what it promises", "what was seen"], body) if body else NOTHING


def limits(results: Results) -> str:
    """What the machine can do at best."""
    body = [[title, number(value)] for title, value in results.limits.items()]
    medians = results.medians.get("bare", {})
    body += [[f"bare: {figure.title}", number(medians[figure.key])] for figure in FIGURES if figure.key in medians]
    note = "`bare` is one stream, one consumer group, and a script that only adds entries: no queue, no promises.\n\n"
    return note + table(["", "a second, or as named"], body) if body else NOTHING


# ------------------------------------------------------------------------------------------------------------- series


def growth(results: Results, *wanted: str) -> str:
    """How cost grows, one table for each thing that does; or along those alone."""
    tables = []
    for along in wanted or dict.fromkeys(series.along for series in SERIES if not series.is_whole):
        columns = [series for series in SERIES if series.along == along]
        points = sorted({float(at) for series in columns for at in results.points(series.key)})
        body = [[number(at), *(_at(results, series, at) for series in columns)] for at in points]
        if body:
            tables.append(table([along, *(f"{series.title}, {series.unit}" for series in columns)], body))
    return "\n\n".join(tables) or NOTHING


def _at(results: Results, series: Series, at: float) -> str:
    found = {float(point): value for point, value in results.points(series.key).items()}
    return number(found[at]) if at in found else "–"


def wall(results: Results) -> str:
    """Whether Redis or the worker bounds what one queue can do."""
    limit = results.medians.get("heracles", {}).get("queue-limit")
    workers, redis = (results.points(f"growth-workers-{key}").get("1") for key in ("cpu", "redis-cpu"))
    if not (limit and workers and redis):
        return NOTHING
    return (
        f"By the CPU that a job takes, Redis' one thread can store and process {number(limit)} jobs a second of one "
        f"queue ({limit * 86_400 / 1e9:.1f} billion a day), or process {number(1e6 / redis)} that were stored before; "
        f"one worker process can run {number(1e6 / workers)}. So one queue keeps Redis busy from "
        f"{workers / redis:.1f} worker processes on, each with a core of its own."
    )


def parts(results: Results, *keys: str) -> str:
    """Where time or memory goes, one table for each whole, the largest part first; or of those series alone."""
    tables = []
    for series in SERIES:
        found = results.points(series.key)
        if series.is_whole and found and (not keys or series.key in keys):
            tables.append(f"{series.title[0].upper()}{series.title[1:]}:\n\n{_whole(series, found)}")
    return "\n\n".join(tables) or NOTHING


def _whole(series: Series, found: Mapping[str, float]) -> str:
    total = sum(found.values())
    ordered = sorted(found.items(), key=lambda part: -part[1])
    body = [[name, number(value), f"{value / total:.0%}" if total else ""] for name, value in ordered]
    return table([series.along, series.unit, "share"], [*body, ["all", number(total), ""]])


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


#: In the order of the report.
SECTIONS: Mapping[str, tuple[str, Callable[[Results], str]]] = {
    "figures": ("Figures", figures),
    "sqlite": ("On SQLite", on_sqlite),
    "log": ("With a log that Redis syncs every second", with_log),
    "alone": ("Figures of one system", alone),
    "goals": ("Goals", goals),
    "promises": ("What becomes of jobs whose worker is killed", promises),
    "limits": ("Limits of the machine", limits),
    "growth": ("Growth", growth),
    "parts": ("Where time and memory go", parts),
}
