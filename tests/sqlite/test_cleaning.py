"""Clearing and cleaning up: in which order jobs and entries go."""

import asyncio

import pytest

from heracles.model import CleanupRules, Delivery, JobStatus, Swept
from heracles.sqlite import SqliteTransport, control, removal
from tests.sqlite.conftest import MakeSqlite
from tests.sqlite.values import envelope, report, session

PRIORITIES = (5, 10, 90)


async def _finish_some(sqlite: SqliteTransport, clock: list[int], count: int) -> list[str]:
    """The dispatch ids of so many jobs of three priorities, in the order in which they finished."""
    names = [f"done-{number}" for number in range(count)]
    me = session()
    for number, name in enumerate(names):
        await sqlite.enqueue("q", [envelope(dispatch_id=name, priority=PRIORITIES[number % 3])])
        (started,) = (await sqlite.exchange("q", me, [], 1)).started
        clock[0] += 1
        await sqlite.exchange("q", me, [report(started)], 0)
    return names


async def _with_entry(sqlite: SqliteTransport, names: list[str]) -> list[str]:
    found = {name: await sqlite.find("q", name) for name in names}
    return [name for name, record in found.items() if record is not None and record.envelope is not None]


@pytest.mark.parametrize("lot", [2, 250])
async def test_a_cleanup_keeps_the_latest_entries_of_a_queue_whatever_their_priority(
    make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch, lot: int
) -> None:
    monkeypatch.setattr(removal, "REMOVED_AT_ONCE", lot)
    clock = [1_700_000_000_000]
    sqlite = make_sqlite(":memory:", clock=lambda: clock[0])
    names = await _finish_some(sqlite, clock, 20)
    told = await sqlite.cleanup("q", CleanupRules(max_entries=4, dry_run=True))
    assert told == await sqlite.cleanup("q", CleanupRules(max_entries=4)) == Swept(entries=16)
    assert await _with_entry(sqlite, names) == names[-4:]
    assert await sqlite.cleanup("q", CleanupRules(max_entries=4)) == Swept()


async def test_a_cleanup_counts_what_is_too_old_once(make_sqlite: MakeSqlite) -> None:
    clock = [1_700_000_000_000]
    sqlite = make_sqlite(":memory:", clock=lambda: clock[0])
    names = await _finish_some(sqlite, clock, 6)
    clock[0] += 10_000
    names += [f"later-{name}" for name in names]
    for name in names[6:]:
        await sqlite.enqueue("q", [envelope(dispatch_id=name)])
        await sqlite.cancel("q", [name])
        clock[0] += 1
    told = await sqlite.cleanup("q", CleanupRules(retention_s=5, max_entries=4, dry_run=True))
    assert told == await sqlite.cleanup("q", CleanupRules(retention_s=5, max_entries=4)) == Swept(entries=8, records=6)


async def test_the_size_of_a_stream_is_kept_for_each_priority(make_sqlite: MakeSqlite) -> None:
    clock = [1_700_000_000_000]
    sqlite = make_sqlite(":memory:", clock=lambda: clock[0], max_stream_size=2)
    names = await _finish_some(sqlite, clock, 12)
    assert await _with_entry(sqlite, names) == names[-6:]
    assert await sqlite.maintain("q") == Swept()


async def test_what_waits_is_ended_before_what_runs(make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "CANCELLED_AT_ONCE", 3)
    sqlite = make_sqlite(":memory:")
    me = session()
    await sqlite.enqueue("q", [envelope() for _ in range(20)])
    running = [each.envelope.dispatch_id for each in (await sqlite.exchange("q", me, [], 5)).started]
    cursor = (await sqlite.changes("q", None, 0)).cursor
    assert await sqlite.clear("q", running=True) == 20
    ended = [change.dispatch_id for change in (await sqlite.changes("q", cursor, 0)).changes]
    assert set(ended[15:]) == set(running)


async def test_clearing_a_line_makes_nothing_of_it_ready(
    make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "CANCELLED_AT_ONCE", 1)
    sqlite = make_sqlite(":memory:")
    await sqlite.enqueue("q", [envelope(job_id="same", no_overlap=True) for _ in range(20)])
    clearing = asyncio.create_task(sqlite.clear("q"))
    started: list[Delivery] = []
    while not clearing.done():
        started += (await sqlite.exchange("q", session(), [], 1)).started
    # Only what had been ready all along may have been faster.
    assert len(started) <= 1
    assert (await sqlite.overview("q")).counts[JobStatus.PENDING] == 0
