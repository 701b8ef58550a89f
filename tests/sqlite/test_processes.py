"""Several processes on one file."""

import asyncio
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

from heracles.model import JobStatus, SignalKind
from heracles.sqlite import SqliteTransport
from heracles.sqlite.bell import folder_of
from tests.sqlite.conftest import MakeSqlite, StartChild
from tests.sqlite.values import envelope, report, session
from tests.waiting import eventually


async def _said(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return (await asyncio.to_thread(child.stdout.readline)).strip()


async def test_processes_share_the_jobs_and_run_each_once(sqlite: SqliteTransport, start_child: StartChild) -> None:
    workers = [start_child("work", 3) for _ in range(3)]
    for worker in workers:
        assert await _said(worker) == "ready"
    producers = [start_child("dispatch", 100) for _ in range(2)]
    dispatched = [id for each in producers for id in (await asyncio.to_thread(each.communicate))[0].split()]
    assert len(dispatched) == 200

    async def are_completed() -> bool:
        return (await sqlite.overview("q")).counts[JobStatus.COMPLETED] == 200

    await eventually(are_completed)
    for worker in workers:
        worker.kill()
    ran = [id for each in workers for id in (await asyncio.to_thread(each.communicate))[0].split()]
    assert sorted(ran) == sorted(dispatched)


async def test_what_a_killed_producer_had_acknowledged_is_there(
    path: Path, sqlite: SqliteTransport, start_child: StartChild
) -> None:
    for _ in range(3):
        producer = start_child("dispatch", 1_000_000)
        acknowledged = [await _said(producer) for _ in range(50)]
        producer.send_signal(signal.SIGKILL)
        rest = (await asyncio.to_thread(producer.communicate))[0].split("\n")
        # What it had not said to its end is not known to be acknowledged.
        for dispatch_id in [*acknowledged, *rest[:-1]]:
            assert await sqlite.find("q", dispatch_id) is not None
    await _is_consistent(path, sqlite)


async def test_what_a_killed_worker_held_runs_again_after_its_lease(
    path: Path, make_sqlite: MakeSqlite, start_child: StartChild
) -> None:
    sqlite = make_sqlite(lease=300)
    await sqlite.enqueue("q", [envelope() for _ in range(500)])
    worker = start_child("work", 5)
    assert await _said(worker) == "ready"
    ran = {await _said(worker) for _ in range(40)}
    worker.send_signal(signal.SIGKILL)
    await asyncio.to_thread(worker.wait)
    counts = (await sqlite.overview("q")).counts
    # It said a job's name before its end was stored; 5 jobs at most were under way.
    assert counts[JobStatus.RUNNING] <= 5
    assert counts[JobStatus.COMPLETED] >= len(ran) - 5
    await _is_consistent(path, sqlite)


async def test_a_dispatch_wakes_an_idle_process(sqlite: SqliteTransport, start_child: StartChild) -> None:
    worker = start_child("work", 1)
    assert await _said(worker) == "ready"
    for _ in range(20):
        (stored,) = await sqlite.enqueue("q", [envelope()])
        assert await asyncio.wait_for(_said(worker), 15) == stored.dispatch_id


async def test_what_becomes_due_wakes_an_idle_process(sqlite: SqliteTransport, start_child: StartChild) -> None:
    worker = start_child("work", 1)
    assert await _said(worker) == "ready"
    (stored,) = await sqlite.enqueue("q", [envelope(delay_ms=300)])
    assert await asyncio.wait_for(_said(worker), 15) == stored.dispatch_id
    record = await sqlite.find("q", stored.dispatch_id)
    assert record is not None
    assert record.started_at_ms is not None
    assert record.scheduled_for_ms is not None
    assert 0 <= record.started_at_ms - record.scheduled_for_ms < 1000


async def test_what_becomes_due_starts_though_its_producer_has_ended(
    sqlite: SqliteTransport, start_child: StartChild
) -> None:
    worker = start_child("work", 1)
    assert await _said(worker) == "ready"
    for _ in range(3):
        (dispatch_id,) = (await asyncio.to_thread(start_child("delay", 700).communicate))[0].split()
        assert await asyncio.wait_for(_said(worker), 15) == dispatch_id


async def test_a_process_is_told_that_its_job_was_cancelled(sqlite: SqliteTransport, start_child: StartChild) -> None:
    (stored,) = await sqlite.enqueue("q", [envelope()])
    holder = start_child("hold")
    assert await _said(holder) == f"started {stored.dispatch_id}"
    assert await sqlite.cancel("q", [stored.dispatch_id]) == [True]
    assert await asyncio.wait_for(_said(holder), 15) == f"cancel q {stored.dispatch_id}"


async def test_a_process_is_told_of_status_changes(sqlite: SqliteTransport, start_child: StartChild) -> None:
    watcher = start_child("watch")
    assert await _said(watcher) == "ready"
    for _ in range(5):
        await sqlite.enqueue("q", [envelope()])
        # It would look by itself once a minute.
        assert await asyncio.wait_for(_said(watcher), 15) == "pending"


async def test_a_busy_process_hands_a_hint_on(sqlite: SqliteTransport, start_child: StartChild) -> None:
    await sqlite.enqueue("q", [envelope() for _ in range(2)])
    for busy in [start_child("hold") for _ in range(2)]:
        assert (await _said(busy)).startswith("started dispatch_")
    free = session()
    listener = sqlite.listen(free, ["q"])
    for _ in range(20):
        await sqlite.enqueue("q", [envelope()])
        assert [each.kind for each in await listener.wait(15_000)] == [SignalKind.WORK]
        started = (await sqlite.exchange("q", free, [], 2)).started
        assert len(started) == 1
        await sqlite.exchange("q", free, [report(each) for each in started], 0)
    await listener.close()


async def test_a_process_that_was_killed_is_no_longer_woken(
    path: Path, sqlite: SqliteTransport, start_child: StartChild
) -> None:
    killed = start_child("hold")
    assert await _said(killed) == "started"
    killed.send_signal(signal.SIGKILL)
    await asyncio.to_thread(killed.wait)
    assert any(name.startswith(f"{killed.pid}-") for name in os.listdir(folder_of(str(path))))
    listener = sqlite.listen(session(), ["q"])
    for _ in range(10):
        await sqlite.enqueue("q", [envelope()])
        assert [each.kind for each in await listener.wait(15_000)] == [SignalKind.WORK]
    await listener.close()
    await eventually(lambda: not folder_of(str(path)).exists())


async def test_a_process_ends_by_itself_and_leaves_one_file(path: Path, start_child: StartChild) -> None:
    child = start_child("leave")
    said = (await asyncio.to_thread(child.communicate))[0]
    assert child.returncode == 0
    assert "'pending'>: 1" in said
    assert [each.name for each in path.parent.glob("store.db*")] == ["store.db"]
    assert not folder_of(str(path)).exists()


async def _is_consistent(path: Path, sqlite: SqliteTransport) -> None:
    """The pages agree, and the counters with the rows."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = dict(connection.execute("SELECT status, COUNT(*) FROM jobs GROUP BY status"))
    connection.close()
    counts = {status.value: count for status, count in (await sqlite.overview("q")).counts.items() if count}
    assert rows == counts
