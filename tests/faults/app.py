"""The app of the workers under fault: the jobs of the tests of processes, and a few more."""

import asyncio
import threading
import time

from heracles.job import Job
from tests.processes import app as processes


@Job.register(queue="jobs")
class Tick(processes.Recorded):
    """Notes its start and its end."""

    async def execute(self) -> None:
        self.note_start()
        self.note_end("completed")


@Job.register(queue="jobs")
class Nap(processes.Recorded):
    """Takes so long."""

    def __init__(self, seconds: float) -> None:
        self.door = ""
        self.seconds = seconds

    async def execute(self) -> None:
        self.note_start()
        await asyncio.sleep(self.seconds)
        self.note_end("completed")


@Job.register(queue="jobs")
class TellClock(processes.Recorded):
    """Returns what its process holds for the time, in epoch milliseconds."""

    async def execute(self) -> float:
        self.note_start()
        self.note_end("completed")
        return time.time() * 1000


@Job.register(queue="jobs", retry_delay=3_600_000)
class FailOnce(processes.Recorded):
    """Fails at its first run, and has an hour to wait for the next."""

    async def execute(self) -> None:
        self.note_start()
        if self.retries == 0:
            raise ValueError("on purpose")


@Job.register(queue="jobs", timeout=500, max_retries=0)
class Deaf(processes.Recorded):
    """A thread that never ends, whatever it is told."""

    def execute(self) -> None:
        self.note_start()
        threading.Event().wait()


@Job.register(queue="jobs")
class SayToken(processes.Recorded):
    """Returns its token when its door is open, on a thread that heeds nothing."""

    def execute(self) -> int:
        self.note_start()
        while not self.is_open:
            time.sleep(0.005)
        self.note_end("completed")
        return self.token


@Job.register(queue="jobs")
class Large(processes.Recorded):
    """Returns much."""

    async def execute(self) -> str:
        self.note_start()
        self.note_end("completed")
        return "x" * 100_000
