"""Files that cannot be used: each is refused with its cause, left as it is, and used again once the cause is gone."""

# ruff: noqa: ASYNC240 - what a test does to its files may block its loop

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from heracles.errors import TransportError, TransportUnavailableError
from heracles.model import JobStatus, Stored
from heracles.sqlite import SqliteTransport, database
from tests.sqlite.conftest import MakeSqlite, StartChild
from tests.sqlite.values import envelope
from tests.waiting import eventually


async def _refused(transport: SqliteTransport, words: str) -> None:
    with pytest.raises(TransportError, match=words) as first:
        await transport.open()
    assert not isinstance(first.value, TransportUnavailableError)
    with pytest.raises(TransportError, match=words):
        await transport.enqueue("q", [envelope()])
    with pytest.raises(TransportError, match=words):
        await transport.overview("q")


# ---- not ours


async def test_a_file_that_is_no_database_is_refused_and_kept(path: Path, sqlite: SqliteTransport) -> None:
    path.write_bytes(b"precious notes\n" * 1000)
    await _refused(sqlite, "is no SQLite database and was left as it is")
    assert path.read_bytes() == b"precious notes\n" * 1000


@pytest.mark.parametrize("size", [1, 100, 511, 512, 513, 1000, 4095, 4096])
async def test_a_short_file_that_is_no_database_is_refused_and_kept(
    path: Path, sqlite: SqliteTransport, size: int
) -> None:
    path.write_bytes(b"x" * size)
    await _refused(sqlite, "is no SQLite database")
    assert path.read_bytes() == b"x" * size


async def test_the_database_of_another_program_is_refused_and_kept(path: Path, sqlite: SqliteTransport) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE accounts (id INTEGER)")
    other.close()
    before = path.read_bytes()
    await _refused(sqlite, "another program")
    assert path.read_bytes() == before


async def test_a_file_of_a_later_version_is_refused(path: Path, sqlite: SqliteTransport) -> None:
    await sqlite.open()
    await sqlite.close()
    _execute(path, f"PRAGMA user_version = {database.SCHEMA_VERSION + 1}")
    await _refused(sqlite, "later version of Heracles")


async def test_an_empty_file_becomes_a_store(path: Path, sqlite: SqliteTransport) -> None:
    path.touch()
    await sqlite.enqueue("q", [envelope()])
    assert await sqlite.queues() == ("q",)


async def test_a_folder_that_does_not_exist_is_named(path: Path) -> None:
    transport = SqliteTransport(path / "nowhere" / "store.db")
    await _refused(transport, "nowhere/store.db cannot be created: No such file or directory")
    (path / "nowhere").mkdir(parents=True)
    await transport.open()
    await transport.close()


async def test_a_folder_in_place_of_the_file_is_named(path: Path, sqlite: SqliteTransport) -> None:
    path.mkdir()
    await _refused(sqlite, "cannot be opened")


# ---- damaged


async def test_a_damaged_file_is_refused_and_kept(path: Path, sqlite: SqliteTransport, start_child: StartChild) -> None:
    await sqlite.enqueue("q", [envelope(args=b'["%s"]' % (b"x" * 500)) for _ in range(500)])
    await sqlite.close()
    damaged = bytearray(path.read_bytes())
    for start in range(4096 * 20, len(damaged) - 4096, 4096 * 3):
        damaged[start : start + 200] = os.urandom(200)
    path.write_bytes(damaged)
    said = start_child("use").communicate()[0]
    assert said.startswith(f"TransportError {path} is damaged and was left as it is")
    assert path.read_bytes() == damaged


async def test_a_damaged_header_is_refused(path: Path, sqlite: SqliteTransport) -> None:
    await sqlite.enqueue("q", [envelope()])
    await sqlite.close()
    with path.open("r+b") as file:
        file.write(os.urandom(4096))
    await _refused(sqlite, "is no SQLite database")


# ---- not writable


def test_a_read_only_file_is_named(path: Path, start_child: StartChild) -> None:
    assert start_child("leave").wait() == 0
    path.chmod(0o444)
    _open_to_all(path.parent)
    said = start_child("unprivileged").communicate()[0]
    assert said.startswith(f"TransportError {path} cannot be ")
    assert "writable" in said


def test_a_read_only_file_that_another_user_has_open_is_named(path: Path, start_child: StartChild) -> None:
    opened = database.Database(str(path), check=False)
    opened.connection.execute("CREATE TABLE another (one)")
    path.chmod(0o444)
    _open_to_all(path.parent)
    said = start_child("unprivileged").communicate()[0]
    opened.close()
    assert said.startswith(f"TransportError {path} cannot be ")
    assert "writable" in said


def test_a_read_only_folder_is_named(path: Path, start_child: StartChild) -> None:
    _open_to_all(path.parent)
    said = start_child("unprivileged").communicate()[0]
    assert said.startswith(f"TransportError {path} cannot be created: Permission denied")


def test_a_read_only_folder_of_a_writable_file_is_named(path: Path, start_child: StartChild) -> None:
    assert start_child("leave").wait() == 0
    path.chmod(0o666)
    _open_to_all(path.parent)
    said = start_child("unprivileged").communicate()[0]
    assert said.startswith(f"TransportError {path} cannot be ")


# ---- full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = tmp_path / "small"
    mounted.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", mounted], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk takes a privilege that this user does not have")
    yield mounted
    subprocess.run(["umount", "-l", mounted], check=True)


async def test_a_full_disk_is_said_and_the_service_resumes(small_disk: Path) -> None:
    transport = SqliteTransport(small_disk / "store.db")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 100_000)
    stored: list[str] = []

    async def fill() -> None:
        while True:
            (answer,) = await transport.enqueue("q", [envelope(args=b'["%s"]' % (b"x" * 10_000))])
            stored.append(answer.dispatch_id)

    with pytest.raises(TransportError, match="no space is left"):
        await fill()
    assert stored
    assert (await transport.overview("q")).counts[JobStatus.PENDING] == len(stored)
    ballast.unlink()
    await transport.enqueue("q", [envelope()])
    for dispatch_id in stored:
        assert await transport.find("q", dispatch_id) is not None
    await transport.close()


# ---- deleted


async def test_a_deleted_file_is_made_anew(path: Path, sqlite: SqliteTransport) -> None:
    await sqlite.enqueue("q", [envelope()])
    cursor = (await sqlite.changes("q", None, 0)).cursor
    for file in path.parent.glob("store.db*"):
        file.unlink()
    (stored,) = await sqlite.enqueue("q", [envelope(job_id="new")])
    assert path.exists()
    assert await sqlite.find("q", stored.dispatch_id) is not None
    assert (await sqlite.overview("q")).counts[JobStatus.PENDING] == 1
    gap, first = (await sqlite.changes("q", cursor, 0)).changes
    assert (gap.status, first.job_id) == (None, "new")


async def test_a_file_deleted_without_its_log_is_made_anew(path: Path, sqlite: SqliteTransport) -> None:
    await sqlite.enqueue("q", [envelope() for _ in range(100)])
    path.unlink()
    await sqlite.enqueue("q", [envelope()])
    assert (await sqlite.overview("q")).counts[JobStatus.PENDING] == 1


async def test_other_processes_notice_a_deleted_file(
    path: Path, sqlite: SqliteTransport, start_child: StartChild
) -> None:
    worker = start_child("work", 1)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    for file in path.parent.glob("store.db*"):
        file.unlink()
    (stored,) = await _enqueued(sqlite)
    assert worker.stdout.readline().strip() == stored.dispatch_id

    async def is_completed() -> bool:
        record = await sqlite.find("q", stored.dispatch_id)
        return record is not None and record.status is JobStatus.COMPLETED

    await eventually(is_completed, deadline_s=5)


async def _enqueued(sqlite: SqliteTransport) -> Sequence[Stored]:
    """As a producer does: again while the other process is about to make the file anew too."""
    while True:
        try:
            return await sqlite.enqueue("q", [envelope()])
        except TransportUnavailableError:
            await asyncio.sleep(0.01)


async def test_a_file_put_in_its_place_is_used(path: Path, make_sqlite: MakeSqlite, tmp_path: Path) -> None:
    first, other = make_sqlite(), make_sqlite(tmp_path / "other.db")
    await first.enqueue("q", [envelope()])
    await other.enqueue("backup", [envelope()])
    await other.close()
    os.replace(tmp_path / "other.db", path)
    assert await first.queues() == ("backup",)
    await first.enqueue("q", [envelope()])
    assert await first.queues() == ("backup", "q")


def _execute(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.close()


def _open_to_all(folder: Path) -> None:
    """Let a user without rights look into the folder, and not write there."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.geteuid() and each != Path(each.anchor):
            each.chmod(each.stat().st_mode | 0o055)


# ---- whether it is still there


@pytest.mark.parametrize(
    ("changed_ns", "age_s", "is_relied_on"),
    [
        (1_700_000_000_500_000_000, 0.04, False),
        (1_700_000_000_500_000_000, 0.06, True),
        # Of a file system that keeps whole seconds, as far as can be seen.
        (1_700_000_000_000_000_000, 2.0, False),
        (1_700_000_000_000_000_000, 2.2, True),
    ],
)
def test_an_unchanged_folder_is_relied_on_once_its_time_of_change_must_have_moved(
    path: Path, monkeypatch: pytest.MonkeyPatch, changed_ns: int, age_s: float, is_relied_on: bool
) -> None:
    opened = database.Database(str(path), check=False)
    os.utime(path.parent, ns=(changed_ns, changed_ns))
    monkeypatch.setattr("heracles.sqlite.database.time.time", lambda: changed_ns / 1e9 + age_s)
    assert opened.is_current()
    path.rename(path.with_suffix(".moved"))
    os.utime(path.parent, ns=(changed_ns, changed_ns))
    assert opened.is_current() is is_relied_on
    opened.close()


def test_a_file_that_goes_after_a_long_rest_is_missed_at_once(path: Path) -> None:
    opened = database.Database(str(path), check=False)
    os.utime(path.parent, (1.5, 1.5))
    assert opened.is_current()
    path.unlink()
    assert not opened.is_current()
    opened.close()


def test_a_folder_that_another_one_has_replaced_is_noticed(path: Path) -> None:
    opened = database.Database(str(path), check=False)
    os.utime(path.parent, (1.5, 1.5))
    assert opened.is_current()
    moved = path.parent.rename(path.parent.with_suffix(".moved"))
    assert not opened.is_current()
    path.parent.mkdir()
    os.utime(path.parent, (1.5, 1.5))
    assert not opened.is_current()
    opened.close()
    path.parent.rmdir()
    moved.rename(path.parent)
