"""A database file that somebody has edited by hand: an edit is refused, or what cannot be read fails its job alone."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from heracles import JobStatus, Queue, SqliteTransport, Worker
from heracles.sqlite.queries import SCHEMA
from tests.input.conftest import the_next_job_runs
from tests.input.jobs import double

#: In the words of SQL.
JUNK = ["'garbage'", "''", "x'ff00'", "x''", "zeroblob(100000)", "'[1'", "'[null]'", "CAST('{}' AS BLOB)"]
NUMBERS = ["-1", "4611686018427387904", "1.5"]
#: Whoever sets these has paused, drained or renamed the queue.
GATES = {"paused", "draining", "name"}


def columns_of(*tables: str) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
        return [
            (table, row[1])
            for table in tables
            for row in connection.execute(f"PRAGMA table_info({table})")
            if row[1] != "id"
        ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "edited.db"


@pytest.fixture
async def edited(path: Path) -> AsyncIterator[Queue]:
    store = SqliteTransport(path)
    yield Queue.get("edited", transport=store)
    await store.close()


@pytest.fixture
async def worker(edited: Queue) -> AsyncIterator[Worker]:
    """Not yet started."""
    worker = Worker(id="worker-1", transport=edited.transport)
    await worker.create_queue(name=edited.name, concurrency=2, max_retries=0)
    yield worker
    await worker.stop(force=True)


def edit(path: Path, table: str, column: str, junk: str, row: int | None = None) -> bool:
    """Edit a row, or all of them; whether the store lets it be."""
    where = "" if row is None else f" WHERE id = {row}"
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        try:
            connection.execute(f"UPDATE {table} SET {column} = {junk}{where}")
        except (sqlite3.IntegrityError, sqlite3.OperationalError):
            return False
    return True


def newest(path: Path) -> int:
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        return int(connection.execute("SELECT max(id) FROM jobs").fetchone()[0])


async def read(queue: Queue) -> None:
    """All that people ask for."""
    assert queue.transport is not None
    for info in await queue.jobs(limit=1000):
        await queue.transport.find(queue.name, info.dispatch_id)
    await queue.counts()
    await queue.workers()
    await queue.transport.maintain(queue.name)


@pytest.mark.parametrize(("table", "column"), columns_of("jobs", "entries"))
async def test_jobs_that_hold_something_else(
    table: str, column: str, edited: Queue, worker: Worker, path: Path
) -> None:
    junk = JUNK + NUMBERS
    for each in junk:
        await edited.dispatch(double, [1])
        edit(path, table, column, each, newest(path))
    await read(edited)
    await worker.start()
    await the_next_job_runs(edited)
    for each in junk:
        await the_next_job_runs(edited)
        edit(path, table, column, each, newest(path))
    await read(edited)
    await edited.cancel_all_jobs()
    await the_next_job_runs(edited)


@pytest.mark.parametrize(
    ("table", "column"),
    [each for each in columns_of("queues", "endings", "streams", "changes", "workers") if each[1] not in GATES],
)
async def test_tables_that_hold_something_else(
    table: str, column: str, edited: Queue, worker: Worker, path: Path
) -> None:
    assert edited.transport is not None
    await worker.start()
    await the_next_job_runs(edited)
    cursor = (await edited.transport.changes(edited.name, None, 0)).cursor
    for each in JUNK + NUMBERS:
        await the_next_job_runs(edited)
        edit(path, table, column, each)
        await read(edited)
        await edited.transport.changes(edited.name, cursor, 0)
    await the_next_job_runs(edited)


async def test_a_job_whose_entry_cannot_be_read_fails(edited: Queue, worker: Worker, path: Path) -> None:
    handles = []
    for junk in JUNK:
        handles.append(await edited.dispatch(double, [1]))
        assert edit(path, "entries", "envelope", junk, newest(path))
        info = await handles[-1].info()
        assert (info.status, info.args) == (JobStatus.PENDING, None)
    await worker.start()
    await the_next_job_runs(edited)
    await edited.drain(timeout=30)
    assert (await edited.counts())[JobStatus.FAILED] == len(JUNK)
    for handle in handles:
        assert str((await handle.info()).error).startswith("its entry cannot be read: ")


async def test_a_job_whose_entry_is_gone_fails(edited: Queue, worker: Worker, path: Path) -> None:
    handle = await edited.dispatch(double, [1])
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.execute("DELETE FROM entries")
    await worker.start()
    await the_next_job_runs(edited)
    assert (await handle.info()).error == "its entry cannot be read: it is gone"
