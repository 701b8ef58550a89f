"""Bar charts of the figures as SVG files, drawn here so that no plotting library has to be installed."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from benchmarks.catalogue import SYSTEMS, Group, System
from benchmarks.figures import FIGURES, Figure
from benchmarks.report import number
from benchmarks.results import Results, Row

_LABEL, _BAR, _VALUE = 130, 460, 110
_ROW, _TOP = 24, 44
_COLOURS = {Group.HERACLES: "#b8322a", Group.PEER: "#7d8ca3", Group.LIMIT: "#c9b458"}


def plot_all(results: Results, directory: Path) -> list[Path]:
    """One file for each figure that more than one system has."""
    written = []
    for figure in FIGURES:
        rows = {row.system: row for row in results.rows if row.figure == figure.key}
        bars = [(system, rows[system.name]) for system in SYSTEMS if system.name in rows]
        if len(bars) > 1:
            path = directory / f"{figure.key}.svg"
            path.write_text(chart(figure, bars))
            written.append(path)
    return written


def chart(figure: Figure, bars: Sequence[tuple[System, Row]]) -> str:
    """One horizontal bar a system, the best on top; a thin line spans the repeats."""
    ordered = sorted(bars, key=lambda bar: bar[1].median, reverse=figure.is_more_better)
    longest = max(max(row.values) for _, row in ordered) or 1.0
    width, height = _LABEL + _BAR + _VALUE, _TOP + _ROW * len(ordered) + 8
    better = "more is better" if figure.is_more_better else "less is better"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="8" y="20" font-size="15">{escape(figure.title)} ({escape(figure.unit)}; {better})</text>',
    ]
    for place, (system, row) in enumerate(ordered):
        lines += _bar(system, row, _TOP + place * _ROW, _BAR / longest)
    return "\n".join([*lines, "</svg>", ""])


def _bar(system: System, row: Row, top: float, scale: float) -> list[str]:
    middle, length = top + 9, max(1.0, row.median * scale)
    low, high = (max(0.0, value * scale) for value in (min(row.values), max(row.values)))
    return [
        f'<text x="{_LABEL - 8}" y="{top + 13}" text-anchor="end">{escape(system.name)}</text>',
        f'<rect x="{_LABEL}" y="{top}" width="{length:.1f}" height="18" fill="{_COLOURS[system.group]}"/>',
        f'<line x1="{_LABEL + low:.1f}" y1="{middle}" x2="{_LABEL + high:.1f}" y2="{middle}" stroke="black"/>',
        f'<text x="{_LABEL + max(length, high) + 6:.1f}" y="{top + 13}">{number(row.median)}</text>',
    ]
