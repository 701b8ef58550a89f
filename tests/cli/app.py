"""The app that workers under test import."""

import asyncio
import time
from pathlib import Path

from heracles import Job, Queue, dispatch


def is_open(door: str) -> bool:
    return Path(door).exists()


@Job.register()
class Greet(Job):
    """Say hello."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def execute(self) -> str:
        self.info(f"hello {self.name}")
        self.debug(f"whispered {self.name}")
        return self.name.upper()


@Job.register()
class WaitAtDoor(Job):
    """Wait until a file is there."""

    def __init__(self, door: str) -> None:
        self.door = door

    async def execute(self) -> str:
        while not is_open(self.door):  # noqa: ASYNC110 - another process opens it
            await asyncio.sleep(0.005)
        return "opened"


@Job.register()
class BlockTheLoop(Job):
    """Keep the event loop from everything else, until a file is there."""

    def __init__(self, door: str) -> None:
        self.door = door

    async def execute(self) -> None:
        while not is_open(self.door):
            time.sleep(0.005)  # noqa: ASYNC251 - that is the point


@Job.register()
class Break(Job):
    """Raise."""

    def execute(self) -> None:
        raise ValueError("broken\nforged line \x1b[31m")


@Job.register(queue="other")
class Follow(Job):
    """Do nothing, on another queue."""

    def execute(self) -> None: ...


@Job.register()
class Lead(Job):
    """Dispatch another job."""

    async def execute(self) -> str:
        handle = await dispatch(Follow())
        return handle.dispatch_id


TUNED = Queue.get("tuned", concurrency=2, max_retries=0)
