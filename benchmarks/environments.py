"""An environment for each peer below ``.cache/``, filled from PyPI with the pinned versions.

An environment is made anew when its requirements change. A peer that cannot be installed is reported as such.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.processes import ROOT, tail

PLACE = ROOT / ".cache" / "benchmarks" / "environments"
_PEERS = Path(__file__).parent / "peers"
#: One environment takes pip about ten seconds.
_INSTALL_S = 600.0


@dataclass(frozen=True)
class Environment:
    """Where a system's processes run."""

    python: Path
    versions: tuple[str, ...]
    """What is pinned there by name, ``distribution==version``."""


class InstallError(RuntimeError):
    """A peer cannot be installed; the message says why."""


def own() -> Environment:
    """The one in which this process runs, with Heracles in it."""
    return Environment(Path(sys.executable), (f"heracles-jobs=={version('heracles-jobs')}",))


def requirements(name: str) -> Path:
    """The file that pins what a peer needs, resolved from the ``.in`` file beside it."""
    return _PEERS / f"requirements-{name}.txt"


def prepare(name: str) -> Environment:
    """A peer's environment, made now if it is not there.

    Raises:
        InstallError: it cannot be.
    """
    place, pinned = PLACE / name, requirements(name)
    stamp, digest = place / "requirements.sha256", hashlib.sha256(pinned.read_bytes()).hexdigest()
    environment = Environment(place / "bin" / "python", _direct_versions(name))
    if not stamp.exists() or stamp.read_text() != digest:
        _make(place, pinned)
        stamp.write_text(digest)
    return environment


def _make(place: Path, pinned: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    # uv takes a second where pip takes ten.
    has_uv = importlib.util.find_spec("uv") is not None
    venv.create(place, with_pip=not has_uv, symlinks=True)
    python = str(place / "bin" / "python")
    words = (
        [sys.executable, "-m", "uv", "pip", "install", "--python", python]
        if has_uv
        else [python, "-m", "pip", "install"]
    )
    try:
        done = subprocess.run(
            [*words, "--quiet", "--requirement", str(pinned)],
            capture_output=True, text=True, timeout=_INSTALL_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"not installed within {_INSTALL_S:.0f} s") from error
    if done.returncode:
        raise InstallError(tail(done.stderr))


def _direct_versions(name: str) -> tuple[str, ...]:
    wanted = {line.split("[")[0].strip() for line in (_PEERS / f"{name}.in").read_text().splitlines()}
    lines = requirements(name).read_text().splitlines()
    return tuple(line.split(" ")[0] for line in lines if _distribution(line) in wanted)


def _distribution(line: str) -> str:
    return line.partition("==")[0].partition("[")[0].strip()


def prepare_all(names: Iterable[str], tell: Callable[[str], None]) -> tuple[dict[str, Environment], dict[str, str]]:
    """The environments that could be made, and why the others could not."""
    made, failed = {}, {}
    for name in names:
        tell(f"environment: {name}")
        try:
            made[name] = prepare(name)
        except InstallError as error:
            failed[name] = str(error)
    return made, failed
