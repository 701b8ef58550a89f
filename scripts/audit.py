"""Ask the Open Source Vulnerabilities database about every locked package.

python scripts/audit.py requirements/*.txt

Exit 1 where a package has a known vulnerability. A machine that cannot reach the database says so and passes.
"""

import json
import os
import re
import sys
import threading
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

#: HERACLES_AUDIT_URL names a mirror of it.
DATABASE = "https://api.osv.dev/v1/querybatch"
#: Seconds for the one request, looking up the host's name included: a check does not wait for a network.
LONGEST_S = 8.0
#: Vulnerabilities that do not touch this project, by id, with the reason.
ACCEPTED: Mapping[str, str] = {}

Package = tuple[str, str]
_LOCKED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


class UnreachableError(Exception):
    """The database could not be asked."""


def locked(texts: Iterable[str]) -> Sequence[Package]:
    """Every name and version that these requirements pin, once."""
    return sorted({(name.lower(), version) for text in texts for name, version in _LOCKED.findall(text)})


def known_vulnerabilities(packages: Sequence[Package], url: str) -> Mapping[Package, Sequence[str]]:
    """The ids that the database has, by package.

    Raises:
        UnreachableError: it did not answer in time, or with something else.
    """
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in packages]
    results = _ask(url, {"queries": queries}).get("results", [])
    if len(results) != len(packages):
        raise UnreachableError(f"{len(results)} answers to {len(packages)} questions")
    found = {}
    for package, result in zip(packages, results, strict=True):
        ids = [vulnerability["id"] for vulnerability in result.get("vulns", [])]
        if left := [id for id in ids if id not in ACCEPTED]:
            found[package] = left
    return found


def _ask(url: str, question: Mapping[str, Any]) -> Mapping[str, Any]:
    answers: list[Any] = []

    def ask() -> None:
        request = urllib.request.Request(url, json.dumps(question).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=LONGEST_S) as answer:
                answers.append(json.load(answer))
        except (OSError, ValueError) as error:
            answers.append(error)

    # Resolving a name has no time-out of its own, so it is done where it can be left behind.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(LONGEST_S)
    answer = answers[0] if answers else TimeoutError(f"no answer within {LONGEST_S:.0f} s")
    if not isinstance(answer, dict):
        raise UnreachableError(" ".join(str(answer).split())[:200])
    return answer


def main(arguments: Sequence[str]) -> int:
    """Print what is known, one line a package."""
    packages = locked(Path(argument).read_text(encoding="utf-8") for argument in arguments)
    if not packages:
        print("audit: give requirement files that pin versions", file=sys.stderr)
        return 2
    try:
        found = known_vulnerabilities(packages, os.environ.get("HERACLES_AUDIT_URL", DATABASE))
    except UnreachableError as error:
        print(
            f"audit: {len(packages)} locked packages NOT checked, the vulnerability database is out of reach: {error}"
        )
        return 0
    for (name, version), ids in found.items():
        print(f"audit: {name} {version} has known vulnerabilities: {', '.join(ids)} (see https://osv.dev/{ids[0]})")
    if not found:
        print(f"audit: no known vulnerability in {len(packages)} locked packages")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
