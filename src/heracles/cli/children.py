"""How the processes of a pool are called: like their parent, one id each, and no password on the command line."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from heracles.options import OPTIONS

#: Takes a ``--url`` to the children: an environment is its owner's to read, a command line everybody's.
URL_VARIABLE = "HERACLES_WORK_URL"
#: Said anew for each child, or in the environment.
_OWN = frozenset({"id", "processes", "url"})


def child_commands(flags: Mapping[str, Any], worker_id: str, processes: int) -> Sequence[Sequence[str]]:
    """One command a process, with the ids ``.1``, ``.2``, …; the configuration file is read by each for itself."""
    shared = [_argument(name, value) for name, value in flags.items() if name not in _OWN]
    program = (sys.executable, "-m", "heracles", "work")
    # A pool of its own is what the file would make each of them.
    return [(*program, f"--id={worker_id}.{number}", "--processes=1", *shared) for number in range(1, processes + 1)]


def child_environment(flags: Mapping[str, Any]) -> Mapping[str, str]:
    """This process's environment, and the URL."""
    return {**os.environ, URL_VARIABLE: flags["url"]} if "url" in flags else dict(os.environ)


def with_parents_url(flags: Mapping[str, Any]) -> Mapping[str, Any]:
    """The flags, with the URL that a parent gave; it leaves the environment, which a job's own children inherit."""
    url = os.environ.pop(URL_VARIABLE, None)
    return {"url": url, **flags} if url else flags


def _argument(name: str, value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{OPTIONS[name].flags[0]}={text}"
