"""The app of worker processes under test. Jobs wait for files, and write down what they do."""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

from heracles.job import Job
from tests import history

FOLDER = Path(os.environ.get("PROCESS_TEST_FOLDER", "."))
HISTORY = FOLDER / "history.jsonl"


class Recorded(Job):
    """Notes its start and its end."""

    def __init__(self, door: str = "") -> None:
        self.door = door

    def note_start(self) -> None:
        assert self.started_at is not None
        history.starting(
            HISTORY,
            queue=str(self.queue_name),
            job_id=str(self.id),
            dispatch_id=str(self.dispatch_id),
            worker=str(os.getpid()),
            token=self.token,
            retries=self.retries,
            stored_ms=int(self.started_at.timestamp() * 1000),
        )

    def note_end(self, outcome: str) -> None:
        history.ending(HISTORY, dispatch_id=str(self.dispatch_id), token=self.token, outcome=outcome)

    @property
    def is_open(self) -> bool:
        return not self.door or (FOLDER / self.door).exists()


@Job.register(queue="jobs")
class Wait(Recorded):
    """Waits for its door on the event loop."""

    async def execute(self) -> str:
        self.note_start()
        try:
            while not self.is_open:  # noqa: ASYNC110 - it is opened by another process
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.note_end("stopped")
            raise
        self.note_end("completed")
        return self.door


@Job.register(queue="jobs")
class WaitInThread(Recorded):
    """The same, on a thread, and deaf."""

    def execute(self) -> str:
        self.note_start()
        while not self.is_open:
            time.sleep(0.005)
        self.note_end("completed")
        return self.door


@Job.register(queue="jobs")
class BlockLoop(Recorded):
    """The same, blocking the event loop."""

    async def execute(self) -> str:
        self.note_start()
        while not self.is_open:
            time.sleep(0.005)  # noqa: ASYNC251 - that is the point
        self.note_end("completed")
        return self.door


@Job.register(queue="jobs")
class BlockInOneCall(Recorded):
    """Blocks the event loop in a single call that no signal handler can interrupt."""

    async def execute(self) -> None:
        self.note_start()
        threading.Event().wait()


@Job.register(queue="jobs")
class LeaveThreadBehind(Recorded):
    """Waits for a thread of the event loop's default executor that never ends."""

    async def execute(self) -> None:
        self.note_start()
        try:
            await asyncio.to_thread(threading.Event().wait)
        except asyncio.CancelledError:
            self.note_end("stopped")
            raise


@Job.register(queue="jobs")
class LeaveTaskThatExits(Recorded):
    """Leaves a task behind that raises SystemExit."""

    async def execute(self) -> str:
        self.note_start()

        async def leave() -> None:
            raise SystemExit(3)

        self.task = asyncio.ensure_future(leave())
        await asyncio.sleep(0.05)
        self.note_end("completed")
        return "survived"


@Job.register(queue="jobs")
class Die(Recorded):
    """Takes its process down."""

    def execute(self) -> None:
        os._exit(70)


@Job.register(queue="jobs")
class Fork(Recorded):
    """Forks a process and ends it with SIGTERM; returns how it ended."""

    async def execute(self) -> int:
        child = os.fork()
        if child == 0:
            time.sleep(60)  # noqa: ASYNC251 - in the child there is no event loop to block
            os._exit(0)
        os.kill(child, signal.SIGTERM)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        return os.waitstatus_to_exitcode(status)
