"""What the pages show is also right in the eyes of a type checker, which many readers have."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import REPOSITORY, blocks_of, pages

#: A page's blocks that name no file follow each other as in one session, in which one may await.
SESSION = "session.py"


def files_of(page: Path) -> Iterator[tuple[str, str]]:
    """The modules of a page, by name."""
    session = ""
    for block in blocks_of(page):
        if block.language != "python":
            continue
        if block.file is None:
            session += textwrap.indent(block.text, "    ")
        else:
            yield block.file, block.text
    if session:
        yield SESSION, f"async def session() -> None:\n{session}"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy knows of the package, for all pages."""
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize("page", [page for page in pages() if any(files_of(page))], ids=lambda page: page.name)
def test_page_is_typed(page: Path, cache: Path, tmp_path: Path) -> None:
    for name, text in files_of(page):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    options = ["--config-file=", "--explicit-package-bases", f"--cache-dir={cache}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, f"{page.relative_to(REPOSITORY)}: {done.stdout}{done.stderr}"
