"""``heracles demo``: real jobs, real totals, and nothing left behind."""

import ast
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # no stubs are installed
import pytest

from heracles.demo.jobs import Audit, CountSource, CountUnreliably, count
from heracles.demo.sources import find_sources
from heracles.job import definition_of
from heracles.model import JobOverlapBehavior
from tests.cli.process import COMMAND, environment, run, running

#: What is promised on two cores.
LONGEST_S = 60


def test_the_whole_of_it(tmp_path: Path) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    started = time.monotonic()
    ended = run("demo", cwd=tmp_path, env={"TMPDIR": str(place), "REDIS_URL": "redis://127.0.0.1:1"})
    assert (ended.code, ended.err) == (0, "")
    assert time.monotonic() - started < LONGEST_S
    sources = find_sources()
    found = dict(re.findall(r"^(\w[\w ]*?)  +(.*)$", ended.out, re.MULTILINE))
    assert found["jobs"].startswith(f"{sources.count + 2:,} completed in ")
    assert found["files"].startswith(f"{sources.count:,}, of which ")
    assert found["functions"] == f"{functions_of_the_library():,}"
    assert found["retries"] == "2"
    assert "demo.1 ran" in found["workers"]
    assert "demo.2 ran" in found["workers"]
    assert int(found["no overlap"].split()[4].replace(",", "")) >= 0
    assert int(found["scheduled"].split()[3].replace(",", "")) >= 0
    assert len(re.findall(r"^  heracles \w+", ended.out, re.MULTILINE)) == 3
    assert re.search(r"\d+ of \d+ jobs done", ended.out)
    assert not [path for path in place.rglob("*") if not path.is_dir()]
    assert list(tmp_path.iterdir()) == [place]


def functions_of_the_library() -> int:
    """Counted here, without any job."""
    sources = find_sources()
    paths = (*sources.large, *sources.small, sources.unreliable, sources.later)
    return sum(count(path).functions for path in paths)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_its_workers(number: signal.Signals, code: int, tmp_path: Path) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    with running("demo", cwd=tmp_path, env={"TMPDIR": str(place)}) as demo:
        demo.await_line("running")
        pool = psutil.Process(demo.process.pid).children(recursive=True)
        demo.signal(number)
        assert demo.end() == code
    assert not [process for process in pool if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert not list(place.glob("heracles-demo-*"))


def test_workers_that_end_are_told_with_their_log(tmp_path: Path) -> None:
    with running("demo", cwd=tmp_path) as demo:
        demo.await_line("running")
        (pool,) = psutil.Process(demo.process.pid).children()
        pool.terminate()
        assert demo.end() == 1
        assert "heracles demo: the workers ended before all jobs were done" in demo.log
        assert "told to stop" in demo.log


def read_if_any(descriptor: int) -> bytes:
    """What a terminal shows next; nothing where it stays as it is."""
    ready, _, _ = select.select([descriptor], [], [], 0.05)
    try:
        return os.read(descriptor, 4096) if ready else b""
    except OSError:  # nobody holds the other end any more
        return b""


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_on_a_terminal_a_bar_moves(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    shown = b""
    with subprocess.Popen(
        [*COMMAND, "demo"], cwd=tmp_path, env=environment(TERM="xterm", COLUMNS="100"), stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        while b"2 running" not in shown:
            shown += os.read(ours, 4096)
        process.terminate()
        while process.poll() is None:
            shown += read_if_any(ours)
    os.close(ours)
    assert "━".encode() in shown
    assert shown.rstrip().endswith(b"\x1b[?25h"), "the cursor is shown again"


def test_its_jobs_are_what_it_says_of_them(tmp_path: Path) -> None:
    assert definition_of(CountUnreliably).options["max_retries"] == 2
    assert definition_of(Audit).options["overlap_behavior"] is JobOverlapBehavior.NO_OVERLAP
    source = tmp_path / "source.py"
    source.write_text("class A:\n    def f(self): ...\n    async def g(self): ...\n")
    counted = CountSource(str(source)).execute()
    assert (counted.classes, counted.functions, counted.lines, counted.is_valid) == (1, 2, 3, True)
    source.write_text("def broken(:")
    with pytest.raises(SyntaxError):
        ast.parse(source.read_text())
    assert not count(source).is_valid
