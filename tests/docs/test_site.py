"""`make docs` builds the site."""

import subprocess
import sys
from pathlib import Path

from tests.docs.blocks import REPOSITORY


def test_site_is_built_without_warnings(tmp_path: Path) -> None:
    # Every reference leads somewhere, or it is a warning.
    strict = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet"]
    command = [sys.executable, "-m", "sphinx", *strict, "-d", str(tmp_path / "trees"), "docs", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "site" / "guide" / "first-job.html").exists()
