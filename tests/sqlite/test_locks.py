"""Locks that other programs hold on the file."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heracles.errors import TransportUnavailableError
from heracles.model import JobStatus
from heracles.sqlite import SqliteTransport, writer
from tests.sqlite.conftest import MakeSqlite
from tests.sqlite.values import envelope, session


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Within this block somebody else holds the write lock."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_a_write_lock_held_for_8_s_is_outlasted(path: Path, sqlite: SqliteTransport) -> None:
    await sqlite.open()

    def hold() -> None:
        with _locked(path):
            held.set()
            released.wait(8)

    held, released = threading.Event(), threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    await asyncio.to_thread(held.wait)
    begun = time.monotonic()
    await asyncio.gather(*[sqlite.enqueue("q", [envelope()]) for _ in range(10)])
    assert time.monotonic() - begun > 7
    await asyncio.to_thread(holder.join)
    assert (await sqlite.overview("q")).counts[JobStatus.PENDING] == 10


async def test_reading_goes_on_beside_a_write_lock(path: Path, sqlite: SqliteTransport) -> None:
    (stored,) = await sqlite.enqueue("q", [envelope()])
    with _locked(path):
        assert await sqlite.find("q", stored.dispatch_id) is not None
        assert len(await sqlite.page("q", None, 10)) == 1


async def test_a_lock_held_too_long_is_said_and_each_call_is_bounded(
    path: Path, sqlite: SqliteTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite.open()
    monkeypatch.setattr(writer, "PATIENCE_S", 0.3)
    with _locked(path):
        for _ in range(2):
            with pytest.raises(TransportUnavailableError, match="locked by another program"):
                await sqlite.enqueue("q", [envelope()])
        with pytest.raises(TransportUnavailableError):
            await sqlite.exchange("q", session(), [], 1)
    assert (await sqlite.enqueue("q", [envelope()]))[0].dispatch_id
    assert (await sqlite.overview("q")).counts[JobStatus.PENDING] == 1


async def test_a_call_given_up_during_a_lock_is_not_stored(path: Path, sqlite: SqliteTransport) -> None:
    await sqlite.open()
    with _locked(path), pytest.raises(TimeoutError):
        await asyncio.wait_for(sqlite.enqueue("q", [envelope()]), 0.1)
    await sqlite.enqueue("other", [envelope()])
    assert (await sqlite.overview("q")).counts[JobStatus.PENDING] == 0


async def test_transports_of_one_process_share_its_connections(make_sqlite: MakeSqlite) -> None:
    before = threading.active_count()
    durable, fast = make_sqlite(), make_sqlite(durability="memory")
    await asyncio.gather(*[each.enqueue("q", [envelope()]) for each in (durable, fast) * 100])
    assert (await fast.overview("q")).counts[JobStatus.PENDING] == 200
    # One that writes, one that reads.
    assert threading.active_count() <= before + 2


async def test_a_refused_call_fails_alone(sqlite: SqliteTransport) -> None:
    good = [sqlite.enqueue("q", [envelope()]) for _ in range(5)]
    bad = sqlite.enqueue("q", [envelope(), envelope(priority=2**70)])
    answers = await asyncio.gather(*good, bad, *[sqlite.enqueue("q", [envelope()])], return_exceptions=True)
    assert [isinstance(answer, BaseException) for answer in answers] == [False] * 5 + [True, False]
    assert (await sqlite.overview("q")).counts[JobStatus.PENDING] == 6
