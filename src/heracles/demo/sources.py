"""The demo's input: the source files of the standard library that runs it, and which job each of them gets."""

import sysconfig
from collections.abc import Sequence
from pathlib import Path

from heracles.model import Value

#: Where others install, below the standard library on some systems.
_NOT_OURS = frozenset({"site-packages", "dist-packages", "__pycache__"})
#: From this size on a file's job goes first: the longest work started last would leave one worker alone at the end.
_LARGE_BYTES = 60_000


class Sources(Value, frozen=True, kw_only=True):
    """All source files, each once."""

    folder: Path
    large: Sequence[Path]
    """Parsed first."""
    small: Sequence[Path]
    unreliable: Path
    """Parsed by the job that fails twice."""
    later: Path
    """Parsed by the job that is scheduled."""

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.large) + len(self.small) + 2


def find_sources() -> Sources:
    """Those of the interpreter at hand."""
    folder = Path(sysconfig.get_path("stdlib"))
    paths = [path for path in sorted(folder.rglob("*.py")) if _is_ours(path.relative_to(folder)) and path.is_file()]
    large = [path for path in paths if path.stat().st_size >= _LARGE_BYTES]
    small = [path for path in paths if path.stat().st_size < _LARGE_BYTES]
    return Sources(folder=folder, large=large, small=small[2:], unreliable=small[0], later=small[1])


def _is_ours(path: Path) -> bool:
    return _NOT_OURS.isdisjoint(path.parts)
