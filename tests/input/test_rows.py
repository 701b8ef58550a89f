"""A database file that somebody has edited by hand: what is known of a job is told as far as it can be read."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from heracles import JobStatus, Queue, SqliteTransport, Worker
from tests.input.conftest import the_next_job_runs
from tests.input.jobs import double

#: In the words of SQL.
JUNK = ["'garbage'", "''", "x'ff00'", "x''", "zeroblob(100000)", "'[1'", "CAST('{}' AS BLOB)"]


@pytest.fixture
async def edited(tmp_path: Path) -> AsyncIterator[Queue]:
    store = SqliteTransport(str(tmp_path / "edited.db"))
    yield Queue.get("edited", transport=store)
    await store.close()


def edit(path: Path, column: str, junk: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE jobs SET {column} = {junk}")


@pytest.mark.parametrize("column", ["name", "worker", "error", "traceback", "result"])
async def test_records_that_hold_something_else(column: str, edited: Queue, tmp_path: Path) -> None:
    handle = await edited.dispatch(double, [1])
    async with Worker(id="worker-1", transport=edited.transport) as worker:
        await worker.create_queue(name=edited.name, max_retries=0)
        await worker.start()
        await handle.result(timeout=30)
        for junk in JUNK:
            edit(tmp_path / "edited.db", column, junk)
            assert len(await edited.jobs()) >= 1
            assert (await handle.info()).status is JobStatus.COMPLETED
        await the_next_job_runs(edited)
