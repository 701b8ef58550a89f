"""The board on which jobs count themselves."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import jobs
from benchmarks.board import Board, Counter
from benchmarks.processes import ROOT
from benchmarks.role import Role

_COUNT = """
from benchmarks import jobs
for _ in range(1000):
    jobs.noop_in_thread("")
"""


def test_every_process_counts_in_a_slot_of_its_own(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board")
    environment = Role(url="", board=str(tmp_path / "board")).environment()

    children = [subprocess.Popen([sys.executable, "-c", _COUNT], cwd=ROOT, env=environment) for _ in range(3)]
    assert [child.wait(30) for child in children] == [0, 0, 0]

    assert [tally.count for tally in board.tallies()] == [1000, 1000, 1000]
    assert board.count() == 3000
    assert all(0 < tally.first_ns < tally.last_ns for tally in board.tallies())
    board.close()


def test_threads_of_a_process_share_a_slot_and_lose_no_count(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board")
    counter = Counter(board)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: counter.add(), range(5000)))

    assert [tally.count for tally in board.tallies()] == [5000]
    board.close()


def test_samples_come_back_in_order_and_those_not_taken_are_left_out(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board", samples=4)

    board.put_sample(2, -300)
    board.put_sample(0, 100)
    board.put_sample(3, 0)

    assert board.samples() == [100, -300, 1]
    board.close()


def test_arguments_are_as_long_as_they_say() -> None:
    assert len(jobs.plain_argument(123_456)) == jobs.ARGUMENT_BYTES
    assert len(jobs.plain_argument(1, 10_000)) == 10_000
    assert len(jobs.stamped_argument(99_999, 10**18)) == jobs.ARGUMENT_BYTES


def test_a_role_comes_back_from_the_environment(tmp_path: Path) -> None:
    role = Role(url="redis://127.0.0.1:1234", board=str(tmp_path), concurrency=7, recovery_s=3, argument_bytes=5)
    words = [sys.executable, "-c", "from benchmarks.role import Role; print(Role.current())"]

    told = subprocess.run(words, cwd=ROOT, env=role.environment(), capture_output=True, text=True, check=True)

    assert told.stdout.strip() == repr(role)
    assert role.address == ("127.0.0.1", 1234)
