"""``python -m benchmarks page``: writes what a run has found into the pages of the docs, between markers.

``<!-- begin: NAME, written by python -m benchmarks page -->`` opens a block, ``<!-- end -->`` closes it. What stands
outside of the blocks is written by hand.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.figures import FIGURES, SERIES
from benchmarks.plots import plot_all
from benchmarks.processes import ROOT
from benchmarks.report import NOTHING, SECTIONS, growth, machine, parts, wall
from benchmarks.results import Results

DOCS = ROOT / "docs"
PAGES = (Path("performance.md"), Path("decisions/partitions.md"))
#: Beside the first page.
PLOTS = Path("performance")
_BLOCK = re.compile(
    r"(?P<begin><!-- begin: (?P<name>[a-z-]+), written by python -m benchmarks page -->\n).*?(?P<end><!-- end -->\n)",
    re.DOTALL,
)
#: The figures of which a plot is shown; of series along which something grows, all are.
_PLOTTED = ("dispatch-together", "process-one", "process-single", "latency-p50")

Block = Callable[[Results], str]


def write_pages(results: Results, docs: Path = DOCS) -> Sequence[Path]:
    """Fill every block, and draw the plots anew; returns what was written."""
    plots = docs / PLOTS
    plots.mkdir(exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    wanted = {*_PLOTTED, *(series.key for series in SERIES)}
    drawn = plot_all(results, plots)
    for path in drawn:
        if path.stem not in wanted:
            path.unlink()
    kept = [path for path in drawn if path.exists()]
    for page in (docs / page for page in PAGES):
        page.write_text(filled(page.read_text(), results, kept))
    return [*(docs / page for page in PAGES), *kept]


def filled(text: str, results: Results, plots: Sequence[Path]) -> str:
    """The page with its blocks written anew.

    Raises:
        KeyError: it has a block of a name that there is not.
    """
    blocks: Mapping[str, Block] = {**_BLOCKS, **_plot_blocks(plots)}

    def write(found: re.Match[str]) -> str:
        return f"{found['begin']}\n{blocks[found['name']](results)}\n\n{found['end']}"

    return _BLOCK.sub(write, text)


def _part(*keys: str) -> Block:
    return lambda results: parts(results, *keys)


def _along(*names: str) -> Block:
    return lambda results: growth(results, *names)


#: By the name in the marker.
_BLOCKS: Mapping[str, Block] = {
    "machine": machine,
    **{name: section for name, (_, section) in SECTIONS.items()},
    "client-parts": _part("profile-producer", "profile-bulk", "profile-worker"),
    "redis-parts": _part("profile-redis-dispatch", "profile-redis-process"),
    "call-parts": _part("calls-dispatch", "calls-process"),
    "memory-parts": _part("memory-keys", "memory-record", "memory-entry"),
    "workers": _along("worker processes"),
    "masters": _along("masters"),
    "wall": wall,
}


def _plot_blocks(plots: Sequence[Path]) -> Mapping[str, Block]:
    titles = {figure.key: figure.title for figure in FIGURES} | {series.key: series.title for series in SERIES}
    images = {path.stem: f"![{titles[path.stem]}]({PLOTS}/{path.name})" for path in plots}
    curves = [image for stem, image in images.items() if stem not in _PLOTTED]
    bars = [image for stem, image in images.items() if stem in _PLOTTED]
    return {
        "plots": lambda results: "\n\n".join(bars) or NOTHING,
        "growth-plots": lambda results: "\n\n".join(curves) or NOTHING,
    }
