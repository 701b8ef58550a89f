"""One transport used from several threads and event loops, across forks, and by calls that are given up."""

import asyncio
import gc
import os
import sqlite3
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from heracles.model import Delivery, JobStatus
from heracles.sqlite import SqliteTransport
from heracles.sqlite.database import Database
from heracles.sqlite.store import STORES
from tests.sqlite.conftest import MakeSqlite
from tests.sqlite.values import envelope, report, session
from tests.waiting import eventually, eventually_sync


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("heracles")}


async def test_several_loops_in_several_threads_share_it(sqlite: SqliteTransport) -> None:
    async def dispatch() -> None:
        await asyncio.gather(*[sqlite.enqueue("q", [envelope()]) for _ in range(50)])
        await sqlite.page("q", None, 10)

    with ThreadPoolExecutor(4) as threads:
        await asyncio.gather(
            *[asyncio.get_running_loop().run_in_executor(threads, asyncio.run, dispatch()) for _ in range(8)]
        )
    assert (await sqlite.overview("q")).counts[JobStatus.PENDING] == 400


def test_loops_one_after_the_other_share_it(path: Path) -> None:
    sqlite = SqliteTransport(path)
    for count in range(1, 4):
        asyncio.run(sqlite.enqueue("q", [envelope()]))
        assert asyncio.run(sqlite.overview("q")).counts[JobStatus.PENDING] == count
    asyncio.run(sqlite.close())


async def test_closing_on_one_loop_leaves_the_others_working(make_sqlite: MakeSqlite) -> None:
    first, second = make_sqlite(), make_sqlite()
    calls = [asyncio.create_task(second.enqueue("q", [envelope()])) for _ in range(100)]
    for _ in range(20):
        await first.close()
        await first.enqueue("q", [envelope()])
    await asyncio.gather(*calls)
    assert (await first.overview("q")).counts[JobStatus.PENDING] == 120


async def test_close_ends_the_threads_and_is_safe_twice(path: Path) -> None:
    before = _threads()
    sqlite = SqliteTransport(path)
    await sqlite.enqueue("q", [envelope()])
    await sqlite.overview("q")
    assert len(_threads() - before) == 2
    await sqlite.close()
    await sqlite.close()
    await eventually(lambda: not _threads() - before)


def test_close_before_any_use_does_nothing(path: Path) -> None:
    asyncio.run(SqliteTransport(path).close())
    assert not path.exists()


def test_a_transport_that_nobody_holds_ends_its_threads() -> None:
    before = _threads()
    for where in (":memory:", ":memory:"):
        asyncio.run(SqliteTransport(where).enqueue("q", [envelope()]))
    gc.collect()
    eventually_sync(lambda: not _threads() - before)


async def test_calls_given_up_are_done_once_or_not_at_all(sqlite: SqliteTransport) -> None:
    envelopes = [envelope() for _ in range(200)]
    calls = [asyncio.create_task(sqlite.enqueue("q", [each])) for each in envelopes]
    for number, call in enumerate(calls):
        if number % 3 == 0:
            await asyncio.sleep(0)
        call.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    # Behind whatever was under way.
    await sqlite.enqueue("other", [envelope()])
    found = [await sqlite.find("q", each.dispatch_id) is not None for each in envelopes]
    assert all(stored for stored, answer in zip(found, answers, strict=True) if not isinstance(answer, BaseException))
    assert (await sqlite.overview("q")).counts[JobStatus.PENDING] == sum(found)
    assert all(answer.storing for answer in await sqlite.enqueue("q", envelopes))
    assert (await sqlite.overview("q")).counts[JobStatus.PENDING] == 200


async def test_what_an_exchange_that_was_given_up_started_is_recovered(sqlite: SqliteTransport) -> None:
    await sqlite.enqueue("q", [envelope() for _ in range(20)])
    me = session()
    held: list[Delivery] = []
    for _ in range(20):
        call = asyncio.create_task(sqlite.exchange("q", me, [], 1))
        await asyncio.sleep(0)
        call.cancel()
        (answer,) = await asyncio.gather(call, return_exceptions=True)
        if not isinstance(answer, BaseException):
            held += answer.started
    recovered = await sqlite.recover("q", me, [])
    answer = await sqlite.exchange("q", me, [report(each) for each in recovered], 20)
    await sqlite.exchange("q", me, [report(each) for each in answer.started], 0)
    counts = (await sqlite.overview("q")).counts
    assert (counts[JobStatus.COMPLETED], counts[JobStatus.RUNNING]) == (20, 0)


# ---- fork


def _in_child(sqlite: SqliteTransport, count: int) -> int:
    """Fork, dispatch in the child; its exit status."""
    with warnings.catch_warnings():
        # Forking beside other threads is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            asyncio.run(asyncio.wait_for(_dispatch_and_close(sqlite, count), 20))
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def _dispatch_and_close(sqlite: SqliteTransport, count: int) -> None:
    for _ in range(count):
        await sqlite.enqueue("q", [envelope()])
    assert (await sqlite.overview("q")).counts[JobStatus.PENDING] >= count
    await sqlite.close()


def test_a_forked_child_connects_anew(path: Path) -> None:
    sqlite = SqliteTransport(path)

    async def dispatch() -> None:
        await sqlite.enqueue("q", [envelope()])
        await sqlite.overview("q")

    asyncio.run(dispatch())
    assert _in_child(sqlite, 5) == 0
    asyncio.run(dispatch())
    assert asyncio.run(sqlite.overview("q")).counts[JobStatus.PENDING] == 7
    asyncio.run(sqlite.close())


def test_children_forked_while_threads_dispatch_connect_anew(path: Path) -> None:
    sqlite = SqliteTransport(path)
    stop = threading.Event()

    async def dispatch() -> int:
        count = 0
        listener = sqlite.listen(session(), ["q"])
        while not stop.is_set():
            await asyncio.gather(*[sqlite.enqueue("q", [envelope()]) for _ in range(5)])
            await sqlite.page("q", None, 5)
            count += 5
        await listener.close()
        return count

    with ThreadPoolExecutor(2) as threads:
        dispatched = [threads.submit(asyncio.run, dispatch()) for _ in range(2)]
        statuses = [_in_child(sqlite, 3) for _ in range(10)]
        stop.set()
        count = sum(each.result() for each in dispatched)
    assert statuses == [0] * 10
    assert asyncio.run(sqlite.overview("q")).counts[JobStatus.PENDING] == count + 30
    asyncio.run(sqlite.close())


def test_a_store_in_memory_stays_the_parents() -> None:
    sqlite = SqliteTransport(":memory:")

    async def dispatch() -> None:
        await sqlite.enqueue("q", [envelope(), envelope()])

    asyncio.run(dispatch())
    assert _in_child(sqlite, 1) == 0
    assert asyncio.run(sqlite.overview("q")).counts[JobStatus.PENDING] == 2


async def test_busy_threads_give_way_sooner_until_others_have_been_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, seen = sys.getswitchinterval(), dict[str, float]()
    is_current = Database.is_current

    def look(database: Database) -> bool:
        seen["looking"] = sys.getswitchinterval()
        return is_current(database)

    def work(connection: sqlite3.Connection) -> tuple[None, Callable[[], None]]:
        seen["within"] = sys.getswitchinterval()
        return None, lambda: seen.update(told=sys.getswitchinterval())

    store = STORES.get(str(path))
    await store.write(work, 1, synced=False)
    monkeypatch.setattr(Database, "is_current", look)
    await store.write(work, 1, synced=False)
    assert set(seen) == {"looking", "within", "told"}
    assert max(seen.values()) < usual
    assert sys.getswitchinterval() == usual
    store.close()
