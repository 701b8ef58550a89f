"""Bars of the figures and lines of the series as SVG files, drawn here so that nothing has to be installed for it."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from benchmarks.catalogue import SYSTEMS, Group, System
from benchmarks.figures import FIGURES, SERIES, Figure, Series
from benchmarks.report import number
from benchmarks.results import Results, Row

_LABEL, _BAR, _VALUE = 130, 460, 110
_ROW, _TOP = 24, 44
#: How high the highest point of a curve stands.
_CURVE = 180
_COLOURS = {Group.HERACLES: "#b8322a", Group.PEER: "#7d8ca3", Group.LIMIT: "#c9b458"}


def plot_all(results: Results, directory: Path) -> list[Path]:
    """One file for each figure that more than one system has, and for each series along which something grows."""
    written = []
    for figure in FIGURES:
        rows = {row.system: row for row in results.rows if row.figure == figure.key}
        bars = [(system, rows[system.name]) for system in SYSTEMS if system.name in rows]
        if len(bars) > 1:
            path = directory / f"{figure.key}.svg"
            path.write_text(chart(figure, bars))
            written.append(path)
    for series in SERIES:
        points = {float(at): value for at, value in results.points(series.key).items()} if not series.is_whole else {}
        if len(points) > 1:
            path = directory / f"{series.key}.svg"
            path.write_text(curve(series, sorted(points.items())))
            written.append(path)
    return written


def chart(figure: Figure, bars: Sequence[tuple[System, Row]]) -> str:
    """One horizontal bar a system, the best on top; a thin line spans the repeats."""
    ordered = sorted(bars, key=lambda bar: bar[1].median, reverse=figure.is_more_better)
    longest = max(max(row.values) for _, row in ordered) or 1.0
    width, height = _LABEL + _BAR + _VALUE, _TOP + _ROW * len(ordered) + 8
    better = "more is better" if figure.is_more_better else "less is better"
    lines = _canvas(width, height, f"{figure.title} ({figure.unit}; {better})")
    for place, (system, row) in enumerate(ordered):
        lines += _bar(system, row, _TOP + place * _ROW, _BAR / longest)
    return "\n".join([*lines, "</svg>", ""])


def _canvas(width: int, height: int, title: str) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="8" y="20" font-size="15">{escape(title)}</text>',
    ]


def _bar(system: System, row: Row, top: float, scale: float) -> list[str]:
    middle, length = top + 9, max(1.0, row.median * scale)
    low, high = (max(0.0, value * scale) for value in (min(row.values), max(row.values)))
    return [
        f'<text x="{_LABEL - 8}" y="{top + 13}" text-anchor="end">{escape(system.name)}</text>',
        f'<rect x="{_LABEL}" y="{top}" width="{length:.1f}" height="18" fill="{_COLOURS[system.group]}"/>',
        f'<line x1="{_LABEL + low:.1f}" y1="{middle}" x2="{_LABEL + high:.1f}" y2="{middle}" stroke="black"/>',
        f'<text x="{_LABEL + max(length, high) + 6:.1f}" y="{top + 13}">{number(row.median)}</text>',
    ]


def curve(series: Series, points: Sequence[tuple[float, float]]) -> str:
    """A line from point to point; the points along a scale on which each step is a tenfold one, the values from 0."""
    width, height = _LABEL + _BAR + _VALUE, _TOP + _CURVE + 44
    highest = max(value for _, value in points) or 1.0
    places = _places([at for at, _ in points])
    spots = [(x, _TOP + _CURVE * (1 - value / highest)) for x, (_, value) in zip(places, points, strict=True)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    lines = [
        *_canvas(width, height, f"{series.title} ({series.unit})"),
        f'<line x1="{_LABEL}" y1="{_TOP + _CURVE}" x2="{_LABEL + _BAR}" y2="{_TOP + _CURVE}" stroke="black"/>',
        f'<polyline points="{line}" fill="none" stroke="{_COLOURS[Group.HERACLES]}" stroke-width="2"/>',
        f'<text x="{_LABEL + _BAR}" y="{height - 4}" text-anchor="end">{escape(series.along)}</text>',
    ]
    for (x, y), (at, value) in zip(spots, points, strict=True):
        lines += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_COLOURS[Group.HERACLES]}"/>',
            f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{number(value)}</text>',
            f'<text x="{x:.1f}" y="{_TOP + _CURVE + 18}" text-anchor="middle">{number(at)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _places(along: Sequence[float]) -> list[float]:
    """Where the points are; nothing stands one step before the first tenfold."""
    steps = [math.log10(at) if at else None for at in along]
    first = min((step for step in steps if step is not None), default=0.0)
    least = first - 1 if None in steps else first
    span = max((step for step in steps if step is not None), default=least) - least or 1.0
    return [_LABEL + _BAR * ((least if step is None else step) - least) / span for step in steps]
