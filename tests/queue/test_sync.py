"""``queue.sync``: every method without await, from any thread."""

import asyncio
import inspect
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from heracles import HeraclesError, JobCancelledError, JobStatus, Queue, QueueDrainingError, RunningLoopError, SyncQueue
from heracles.model import CleanupRules
from heracles.portal import PORTAL
from heracles.queue import JobHandle, SyncJobHandle
from heracles.queue.calls import QueueCalls
from heracles.sqlite import SqliteTransport
from tests.queue.conftest import Hand
from tests.queue.jobs import Billing, Letter, add
from tests.stores import Store
from tests.waiting import eventually_sync


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


def parameters(method: Any) -> list[tuple[str, Any]]:
    return [(name, p.default) for name, p in inspect.signature(method).parameters.items()]


def test_it_has_every_method_of_a_queue_and_a_handle() -> None:
    assert public(SyncQueue) == public(QueueCalls)
    assert public(SyncJobHandle) - {"awaited"} == public(JobHandle) - {"sync"}
    for awaited, sync in [(QueueCalls, SyncQueue), (JobHandle, SyncJobHandle)]:
        for name in public(sync) & public(awaited):
            if callable(vars(sync)[name]):
                assert parameters(vars(sync)[name]) == parameters(vars(awaited)[name]), name


@pytest.fixture
def queue() -> Queue:
    return Queue.get("sync", transport=SqliteTransport(":memory:"))


@pytest.fixture
def hand(queue: Queue) -> Hand:
    return Hand(queue)


def on_portal(call: Callable[..., Any], *args: Any) -> Any:
    return PORTAL.run(call, *args, awaited="")


def test_a_job_from_dispatch_to_result(queue: Queue, hand: Hand) -> None:
    handle = queue.sync.dispatch(Letter("a"), priority=3)
    assert isinstance(handle, SyncJobHandle)
    assert (handle.queue, handle.status(), handle.info().priority) == ("sync", JobStatus.PENDING, 3)
    on_portal(hand.complete_all, 1, "done")
    assert handle.result(timeout=5) == "done"
    assert handle.cancel() is False


def test_every_call(queue: Queue, hand: Hand) -> None:
    sync = queue.sync
    assert sync.name == "sync"
    handles = sync.dispatch_many([Letter("a"), Letter("b")])
    sync.dispatch(add, [1])
    sync.dispatch(Billing, kwargs={"customer": 1})
    assert sync.counts()[JobStatus.PENDING] == 4
    assert len(sync.jobs("pending", limit=3)) == 3
    assert sync.get_job("nobody") is None
    assert sync.get_handle(handles[1].dispatch_id) == handles[1]
    assert sync.workers() == []
    sync.pause()
    assert sync.is_paused()
    sync.resume()
    assert sync.cancel_job(handles[0])
    with pytest.raises(JobCancelledError):
        handles[0].result()
    assert sync.retry_job(handles[0]).job_id == handles[0].job_id
    assert sync.clear() == 4
    assert sync.cancel_all_jobs() == 0
    sync.drain(timeout=5)
    assert sync.is_draining()
    with pytest.raises(QueueDrainingError):
        sync.dispatch(Letter("a"))


def test_events_are_a_plain_iterator(queue: Queue) -> None:
    seen: list[Any] = []

    def watch() -> None:
        for event in queue.sync.events():
            seen.append(event)
            if event.status is JobStatus.CANCELLED:
                return

    thread = threading.Thread(target=watch)
    thread.start()
    eventually_sync(lambda: queue.sync.dispatch(Letter("a")) and seen, interval_s=0.05)
    handle = queue.sync.dispatch(Letter("b"))
    handle.cancel()
    thread.join(timeout=10)
    assert [event.status for event in seen if event.dispatch_id == handle.dispatch_id] == ["pending", "cancelled"]


def test_many_threads_at_once(queue: Queue) -> None:
    with ThreadPoolExecutor(16) as pool:
        handles = list(pool.map(lambda n: queue.sync.dispatch(Letter(str(n))), range(200)))
    assert len(set(handles)) == 200
    assert queue.sync.counts()[JobStatus.PENDING] == 200


def test_threads_with_event_loops_of_their_own(queue: Queue) -> None:
    async def several() -> int:
        return len(await asyncio.gather(*(queue.dispatch(Letter("a")) for _ in range(20))))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: asyncio.run(several()), range(16))) == 320
    # One after the other in one thread, too, and beside the background loop.
    assert sum(asyncio.run(several()) for _ in range(3)) == 60
    assert queue.sync.counts()[JobStatus.PENDING] == 380


def calls_of(queue: Queue) -> Iterator[tuple[str, Callable[[], object]]]:
    handle: JobHandle[Any] = JobHandle(queue._client, "j", "d")
    yield r"await queue\.dispatch", lambda: queue.sync.dispatch(Letter("a"))
    yield r"await queue\.counts", queue.sync.counts
    yield r"queue\.events", lambda: next(iter(queue.sync.events()))
    yield r"await handle\.result", handle.sync.result
    yield r"await function\.dispatch", lambda: add.sync.dispatch(1)


async def test_where_a_loop_runs_it_names_the_form_to_await(queue: Queue) -> None:
    for form, call in calls_of(queue):
        with pytest.raises(RunningLoopError, match=form) as caught:
            call()
        assert isinstance(caught.value, HeraclesError)
    # In a thread beside the loop it works.
    assert (await asyncio.to_thread(queue.sync.dispatch, Letter("a"))).queue == "sync"
    assert (await queue.counts())[JobStatus.PENDING] == 1


def python(code: str, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HERACLES_URL": f"sqlite:////{tmp_path}/jobs.db"}
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


JOB = """
    import asyncio, os, sys, threading
    from heracles import Job, Queue

    @Job.register()
    class Ping(Job):
        def execute(self) -> None: ...

    queue = Queue.get("default")
"""


@pytest.mark.parametrize(
    "code",
    [
        "queue.sync.dispatch(Ping())",
        "asyncio.run(queue.dispatch(Ping()))",
        "queue.sync.dispatch(Ping()); asyncio.run(queue.dispatch(Ping())); asyncio.run(queue.dispatch(Ping()))",
        "threading.Thread(target=lambda: queue.sync.dispatch(Ping())).start()",
        "queue.sync.dispatch(Ping()); threading.Thread(target=queue.sync.drain, args=(30, True), daemon=True).start()",
        "handle = queue.sync.dispatch(Ping()); handle.cancel()",
    ],
)
def test_a_process_that_has_dispatched_ends_by_itself(code: str, tmp_path: Path) -> None:
    done = python(JOB + f"\n    {code}\n    print('end')", tmp_path, "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_an_interrupt_ends_the_waiting_and_cancels_the_call(tmp_path: Path) -> None:
    code = (
        JOB
        + """
    import signal
    handle = queue.sync.dispatch(Ping())
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        handle.result()
    except KeyboardInterrupt:
        print("interrupted", handle.status())
    """
    )
    done = python(code, tmp_path, "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted pending\n", "")


def test_a_forked_child_has_a_loop_of_its_own(tmp_path: Path) -> None:
    code = (
        JOB
        + """
    queue.sync.dispatch(Ping())
    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            queue.sync.dispatch(Ping())
            asyncio.run(queue.dispatch(Ping()))
            sys.stdout.flush()
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    queue.sync.dispatch(Ping())
    print(queue.sync.counts()["pending"], len({info.dispatch_id for info in queue.sync.jobs()}))
    """
    )
    done = python(code, tmp_path, "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "6 6\n", "")


def test_threads_loops_and_the_background_loop_share_a_store(shared_store: Store) -> None:
    """One after the other and at once, on one queue object."""
    queue = Queue.get("shared", transport=shared_store.transport())

    async def several() -> int:
        handles = await asyncio.gather(*(queue.dispatch(Letter("a")) for _ in range(5)))
        assert await handles[0].cancel()
        with pytest.raises(JobCancelledError):
            await handles[0].result(timeout=10)
        return len(handles)

    with ThreadPoolExecutor(6) as pool:
        loops = [pool.submit(lambda: asyncio.run(several())) for _ in range(6)]
        plain = [pool.submit(lambda: queue.sync.dispatch(Letter("b"))) for _ in range(30)]
        assert sum(loop.result() for loop in loops) == 30
        assert len({handle.result() for handle in plain}) == 30
    assert asyncio.run(several()) + asyncio.run(several()) == 10
    assert queue.sync.counts()[JobStatus.PENDING] == 62
    on_portal(queue.transport.cleanup, "shared", CleanupRules(everything=True))
    on_portal(queue.transport.close)
