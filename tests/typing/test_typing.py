"""mypy and pyright accept what is right and find what is wrong."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GOOD, BAD = HERE / "good.py", HERE / "bad.py"
ROOT = HERE.parent.parent

Check = Callable[[Path], dict[int, str]]


def mypy(file: Path) -> dict[int, str]:
    """The errors by line."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--output", "json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.stderr == ""
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {entry["line"]: entry["message"] for entry in found if entry["severity"] == "error"}


def pyright(file: Path) -> dict[int, str]:
    """The errors by line."""
    command = [sys.executable, "-m", "pyright", "--outputjson", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {entry["range"]["start"]["line"] + 1: entry["message"] for entry in found if entry["severity"] == "error"}


@pytest.mark.parametrize("check", [mypy, pyright])
def test_what_is_right_is_accepted(check: Check) -> None:
    assert check(GOOD) == {}


@pytest.mark.parametrize("check", [mypy, pyright])
def test_what_is_wrong_is_found(check: Check) -> None:
    lines = BAD.read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, start=1) if line.endswith("# wrong")}
    assert wrong
    found = check(BAD)
    assert {number: found.get(number) for number in wrong ^ set(found)} == {}
