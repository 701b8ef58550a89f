"""The supervisor of a worker pool, on small programs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes.site import ROOT
from tests.waiting import eventually_sync

SUPERVISOR = """
import logging, sys
from heracles.worker import pool
logging.basicConfig(level=logging.INFO)
pool.FIRST_PAUSE_S, pool.LONGEST_PAUSE_S, pool.PROVEN_S, pool.EXIT_S = 0.1, 0.4, 5.0, 0.5
program, *marks = sys.argv[1:]
sys.exit(pool.Pool([[sys.executable, "-c", program, mark] for mark in marks]).run())
"""
#: Appends a line to its file, so that its lives can be counted.
LIVE = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); "
OBEY = LIVE + "os.read(int(os.environ['HERACLES_SUPERVISOR_FD']), 1)"
STAY = LIVE + "time.sleep(60)"


@contextmanager
def pool(program: str, *marks: Path) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", SUPERVISOR, program, *marks], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lives(mark: Path) -> list[int]:
    return [int(line) for line in mark.read_text().splitlines()] if mark.exists() else []


@pytest.fixture
def marks(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "one", tmp_path / "two"


def test_processes_are_told_to_end_and_the_pool_ends_with_them(marks: tuple[Path, Path]) -> None:
    with pool(OBEY, *marks) as supervisor:
        eventually_sync(lambda: all(map(lives, marks)))
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(10) == 0
    assert [len(lives(mark)) for mark in marks] == [1, 1]


def test_a_process_that_dies_again_and_again_is_started_less_and_less_often(marks: tuple[Path, Path]) -> None:
    with pool(LIVE + "os._exit(9)", marks[0]) as supervisor:
        began = time.monotonic()
        eventually_sync(lambda: len(lives(marks[0])) >= 5)
        # 0.1 + 0.2 + 0.4 + 0.4 s of pauses, and not a busy loop.
        assert time.monotonic() - began >= 1.1
        supervisor.send_signal(signal.SIGTERM)
        # 9: it was told to while the fifth was about to die.
        assert supervisor.wait(10) in {0, 9}


@pytest.mark.parametrize("code", [1, 2])
def test_a_process_that_refuses_to_start_ends_the_pool(marks: tuple[Path, Path], code: int) -> None:
    program = LIVE + f"os._exit({code}) if sys.argv[1].endswith('one') else " + OBEY.removeprefix(LIVE)
    with pool(program, *marks) as supervisor:
        assert supervisor.wait(10) == code
    assert len(lives(marks[0])) == 1


def test_what_does_not_end_after_a_second_signal_is_killed(marks: tuple[Path, Path]) -> None:
    with pool(STAY, *marks) as supervisor:
        eventually_sync(lambda: all(map(lives, marks)))
        supervisor.send_signal(signal.SIGTERM)
        # Two at once count as one.
        time.sleep(0.3)
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(10) == 1


def test_a_process_that_was_killed_is_started_again(marks: tuple[Path, Path]) -> None:
    with pool(OBEY, *marks) as supervisor:
        eventually_sync(lambda: all(map(lives, marks)))
        os.kill(lives(marks[0])[0], signal.SIGKILL)
        eventually_sync(lambda: len(lives(marks[0])) == 2)
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(10) == 0
    assert len(lives(marks[1])) == 1
