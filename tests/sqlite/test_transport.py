"""What only the transport on SQLite promises: its options, its names, its file."""

# ruff: noqa: ASYNC240 - what a test does to its files may block its loop

import asyncio
import errno
import os
import sqlite3
from pathlib import Path

import pytest

from heracles.errors import OptionError, TransportUnavailableError
from heracles.model import CleanupRules, ReportKind, Storing
from heracles.sqlite import SqliteTransport, database
from heracles.sqlite.database import APPLICATION_ID, SCHEMA_VERSION
from heracles.units import now_ms
from tests.sqlite.conftest import MakeSqlite
from tests.sqlite.values import envelope, report, session


def test_it_is_named_by_its_absolute_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    relative = SqliteTransport("store.db")
    assert relative.identity == f"sqlite:///{path}"
    assert repr(relative) == f"SqliteTransport('sqlite:///{path}')"
    assert relative.identity == SqliteTransport(path).identity


def test_the_constructor_touches_nothing(path: Path) -> None:
    SqliteTransport(path)
    SqliteTransport(path / "nowhere" / "store.db")
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(
    "options",
    [{"path": ""}, {"connection": "default"}, {"key_prefix": "p"}, {"lease": 1}, {"durability": "replicated"}],
)
def test_wrong_options_are_named(options: dict[str, object]) -> None:
    (name,) = options
    with pytest.raises(OptionError, match=name):
        SqliteTransport(**options)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("name", ["a b.db", "ü%3F?#.db", "quote'\".db"])
async def test_a_file_of_any_name_can_be_used(make_sqlite: MakeSqlite, tmp_path: Path, name: str) -> None:
    await make_sqlite(tmp_path / name).enqueue("q", [envelope()])
    assert os.path.getsize(tmp_path / name) > 0


async def test_the_file_says_whose_it_is(path: Path, sqlite: SqliteTransport) -> None:
    await sqlite.open()
    await sqlite.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_two_stores_in_memory_are_two(make_sqlite: MakeSqlite) -> None:
    first, second = make_sqlite(":memory:"), make_sqlite(":memory:")
    await first.enqueue("q", [envelope()])
    assert await second.queues() == ()
    assert first.identity != second.identity
    assert first.identity.startswith("sqlite:///:memory:")


async def test_a_store_in_memory_stays_after_close(make_sqlite: MakeSqlite) -> None:
    memory = make_sqlite(":memory:")
    await memory.enqueue("q", [envelope()])
    await memory.close()
    assert await memory.queues() == ("q",)


async def test_a_link_leads_to_the_same_store(make_sqlite: MakeSqlite, path: Path, tmp_path: Path) -> None:
    await make_sqlite().enqueue("q", [envelope()])
    (tmp_path / "link.db").symlink_to(path)
    assert await make_sqlite(tmp_path / "link.db").queues() == ("q",)


# ---- what a file keeps


async def test_large_arguments_are_not_rewritten_with_each_status(sqlite: SqliteTransport, path: Path) -> None:
    (stored,) = await sqlite.enqueue("q", [envelope(args=b'["%s"]' % (b"x" * 900_000))])
    me = session()
    log = Path(f"{path}-wal")
    before = os.path.getsize(log)
    for _ in range(5):
        (started,) = (await sqlite.exchange("q", me, [], 1)).started
        assert len(started.envelope.args) > 900_000
        await sqlite.exchange("q", me, [report(started, ReportKind.RETURNED)], 0)
    assert os.path.getsize(log) - before < 900_000
    assert stored.dispatch_id


async def test_old_changes_leave_the_file(make_sqlite: MakeSqlite, path: Path) -> None:
    sqlite = make_sqlite(durability="memory")
    for _ in range(24):
        await sqlite.enqueue("q", [envelope() for _ in range(250)])
        await sqlite.clear("q")
    connection = sqlite3.connect(path)
    (kept,) = connection.execute("SELECT MAX(id) - MIN(id) FROM changes").fetchone()
    connection.close()
    assert kept + 250 >= 10_000
    assert kept <= 11_500


async def test_nothing_is_left_of_jobs_that_were_cleaned_up(sqlite: SqliteTransport, path: Path) -> None:
    me = session()
    await sqlite.enqueue("q", [envelope(job_id="same", no_overlap=True, overlap_delay_ms=5) for _ in range(5)])
    await sqlite.enqueue("q", [envelope(priority=number) for number in range(5)])
    started = (await sqlite.exchange("q", me, [], 4)).started
    await sqlite.exchange("q", me, [report(each, overlap_delay_ms=5, result=b"1") for each in started], 3)
    await sqlite.cleanup("q", CleanupRules(everything=True))
    connection = sqlite3.connect(path)
    for table in ("jobs", "entries", "endings", "cooldowns"):
        assert connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,), table
    assert connection.execute("SELECT SUM(finished) FROM streams").fetchone() == (0,)
    connection.close()


async def test_an_upkeep_pass_leaves_nothing_that_has_run_out(make_sqlite: MakeSqlite, path: Path) -> None:
    now = [now_ms()]
    sqlite = make_sqlite(clock=lambda: now[0], status_ttl=100, completed_job_retention=10)
    me = session()
    await sqlite.beat(me, ["q"], "running", [])
    await sqlite.enqueue("q", [envelope(job_id="same", no_overlap=True) for _ in range(2)])
    for _ in range(2):
        (started,) = (await sqlite.exchange("q", me, [], 1)).started
        await sqlite.exchange("q", me, [report(started, overlap_delay_ms=50)], 0)
        now[0] += 50
    await sqlite.enqueue("q", [envelope()])
    now[0] += 20_000
    swept = await sqlite.maintain("q")
    assert (swept.entries, swept.records) == (2, 0)
    now[0] += 100_000
    swept = await sqlite.maintain("q")
    assert (swept.entries, swept.records) == (0, 2)
    await sqlite.beat(session(), ["q"], "running", [])
    connection = sqlite3.connect(path)
    counted = [
        connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        for table in ("jobs", "entries", "endings", "cooldowns", "workers")
    ]
    connection.close()
    assert counted == [1, 1, 0, 0, 1]


async def test_the_clock_going_back_keeps_the_order(make_sqlite: MakeSqlite) -> None:
    now = [now_ms()]
    sqlite = make_sqlite(":memory:", clock=lambda: now[0])
    dispatched = []
    for _ in range(5):
        dispatched += [stored.dispatch_id for stored in await sqlite.enqueue("q", [envelope()])]
        now[0] -= 3_600_000
    started = (await sqlite.exchange("q", session(), [], 10)).started
    assert [each.envelope.dispatch_id for each in started] == dispatched


async def test_what_became_due_before_a_dispatch_starts_before_it(make_sqlite: MakeSqlite) -> None:
    now = [now_ms()]
    sqlite = make_sqlite(":memory:", clock=lambda: now[0])
    await sqlite.enqueue("q", [envelope(dispatch_id="later", delay_ms=200), envelope(dispatch_id="soon", delay_ms=100)])
    now[0] += 150
    await sqlite.enqueue("q", [envelope(dispatch_id="at-once")])
    now[0] += 150
    started = (await sqlite.exchange("q", session(), [], 10)).started
    assert [each.envelope.dispatch_id for each in started] == ["soon", "at-once", "later"]


# ---- what survives a loss of power


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The file descriptors that were synced."""
    synced: list[int] = []

    def sync(descriptor: int) -> None:
        os.fsync(descriptor)
        synced.append(descriptor)

    monkeypatch.setattr(database, "_sync", sync)
    return synced


@pytest.mark.parametrize(
    ("durability", "dispatches", "reports"), [(None, True, False), ("fsync", True, True), ("memory", False, False)]
)
async def test_what_has_to_survive_is_synced_before_the_answer(
    make_sqlite: MakeSqlite, syncs: list[int], durability: str | None, dispatches: bool, reports: bool
) -> None:
    sqlite = make_sqlite(durability=durability)
    await sqlite.open()
    me = session()
    assert syncs == []
    await sqlite.enqueue("q", [envelope() for _ in range(100)])
    assert bool(syncs) is dispatches
    syncs.clear()
    (started,) = (await sqlite.exchange("q", me, [], 1)).started
    await sqlite.exchange("q", me, [report(started)], 0)
    await sqlite.beat(me, ["q"], "running", [])
    assert bool(syncs) is reports
    syncs.clear()
    await sqlite.gate("q", paused=True)
    assert bool(syncs) is dispatches
    await sqlite.page("q", None, 10)


async def test_calls_at_once_share_a_sync(sqlite: SqliteTransport, syncs: list[int]) -> None:
    await sqlite.open()
    await asyncio.gather(*[sqlite.enqueue("q", [envelope()]) for _ in range(100)])
    assert 1 <= len(syncs) < 50


async def test_a_sync_that_fails_is_said_to_those_who_count_on_it(
    sqlite: SqliteTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite.enqueue("q", [envelope()])

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(database, "_sync", fail)
        unsynced = envelope()
        with pytest.raises(TransportUnavailableError, match="could not be written to the disk: Input/output error"):
            await sqlite.enqueue("q", [unsynced])
        assert len((await sqlite.exchange("q", session(), [], 1)).started) == 1
    (again,) = await sqlite.enqueue("q", [unsynced])
    assert again.storing is Storing.EXISTING


async def test_an_older_dispatch_is_found_once_the_latest_has_expired(make_sqlite: MakeSqlite) -> None:
    now = [now_ms()]
    sqlite = make_sqlite(":memory:", clock=lambda: now[0], status_ttl=1)
    await sqlite.enqueue("q", [envelope(job_id="j", dispatch_id="later", delay_ms=60_000)])
    await sqlite.enqueue("q", [envelope(job_id="j", dispatch_id="done")])
    (started,) = (await sqlite.exchange("q", session(), [], 1)).started
    await sqlite.exchange("q", session(), [report(started)], 0)
    for dispatch_id in ("done", "later"):
        found = await sqlite.find("q", "j")
        assert found is not None
        assert found.dispatch_id == dispatch_id
        now[0] += 1000
