"""Fixtures: a database file, transports on it that are closed afterwards, and other processes that use it."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heracles.sqlite import SqliteTransport

MakeSqlite = Callable[..., SqliteTransport]
StartChild = Callable[..., "subprocess.Popen[str]"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def make_sqlite(path: Path) -> AsyncIterator[MakeSqlite]:
    """Makes transports on the file."""
    made: list[SqliteTransport] = []

    def make(where: Path | str = path, **options: Any) -> SqliteTransport:
        made.append(SqliteTransport(where, **options))
        return made[-1]

    yield make
    for transport in made:
        await transport.close()


@pytest.fixture
def sqlite(make_sqlite: MakeSqlite) -> SqliteTransport:
    return make_sqlite()


@pytest.fixture
def start_child(path: Path) -> Iterator[StartChild]:
    """Starts other processes that use the file, and kills them after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(verb: str, *arguments: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.sqlite.child", verb, str(path), *map(str, arguments)]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
