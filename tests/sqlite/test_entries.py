"""Entries that hold something else than an envelope: what a start of such a job does to it, and to others."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from heracles.model import JobStatus, ReportKind
from heracles.sqlite import starting
from heracles.sqlite.transport import SqliteTransport
from tests.sqlite.values import envelope, report, session

QUEUE = "jobs"


def _damage(path: Path, where: str = "TRUE") -> None:
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.execute(f"UPDATE entries SET envelope = x'ff' WHERE {where}")


async def test_a_retry_fails_by_way_of_running(sqlite: SqliteTransport, path: Path) -> None:
    worker = session()
    one = envelope()
    await sqlite.enqueue(QUEUE, [one])
    (delivery,) = (await sqlite.exchange(QUEUE, worker, (), 1)).started
    await sqlite.exchange(QUEUE, worker, [report(delivery, ReportKind.RETRY, error="Error: first")], 0)
    cursor = (await sqlite.changes(QUEUE, None, 0)).cursor
    _damage(path)
    assert (await sqlite.exchange(QUEUE, worker, (), 1)).started == ()
    told = (await sqlite.changes(QUEUE, cursor, 0)).changes
    assert [change.status for change in told] == [JobStatus.RUNNING, JobStatus.FAILED]
    counts = (await sqlite.overview(QUEUE)).counts
    assert {status: count for status, count in counts.items() if count} == {JobStatus.FAILED: 1}


async def test_the_next_of_its_line_goes_on(sqlite: SqliteTransport, path: Path) -> None:
    await sqlite.enqueue(QUEUE, [envelope(job_id="same", no_overlap=True) for _ in range(3)])
    _damage(path, "id <= 2")
    (delivery,) = (await sqlite.exchange(QUEUE, session(), (), 1)).started
    assert delivery.receipt == "3"


async def test_it_pauses_a_queue_that_pauses_on_errors(sqlite: SqliteTransport, path: Path) -> None:
    await sqlite.enqueue(QUEUE, [envelope(), envelope(), envelope()])
    _damage(path, "id = 2")
    answer = await sqlite.exchange(QUEUE, session(), (), 2, pause_on_error=True)
    assert [delivery.receipt for delivery in answer.started] == ["1"]
    assert answer.paused


async def test_what_was_edited_while_it_ran_is_left_to_its_lease(sqlite: SqliteTransport, path: Path) -> None:
    worker = session()
    await sqlite.enqueue(QUEUE, [envelope(), envelope()])
    await sqlite.exchange(QUEUE, worker, (), 2)
    _damage(path, "id = 1")
    assert [delivery.receipt for delivery in await sqlite.recover(QUEUE, worker, ())] == ["2"]


async def test_a_transaction_fails_so_many_at_most(
    sqlite: SqliteTransport, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "_FAILED_AT_ONCE", 3)
    await sqlite.enqueue(QUEUE, [envelope() for _ in range(6)])
    _damage(path, "id <= 5")
    answer = await sqlite.exchange(QUEUE, session(), (), 1)
    assert (answer.started, answer.next_due_ms) == ((), 0)
    assert (await sqlite.overview(QUEUE)).counts[JobStatus.FAILED] == 3
    assert [delivery.receipt for delivery in (await sqlite.exchange(QUEUE, session(), (), 1)).started] == ["6"]
