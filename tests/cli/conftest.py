"""A working directory with an app, and the store beside it."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heracles.model import Envelope, JobStatus, Record
from heracles.sqlite import SqliteTransport
from heracles.transport import Transport
from heracles.units import new_id
from tests.servers import Server, redis_7
from tests.waiting import eventually


class Site:
    """A directory in which ``heracles`` is run, with ``jobs.py`` in it, and a store."""

    def __init__(self, directory: Path, transport: Transport) -> None:
        self.directory = directory
        self.transport = transport

    async def dispatch(self, name: str, *args: Any, queue: str = "default", **more: Any) -> str:
        """Store a job as a producer does that is another program; its dispatch id."""
        part = new_id()
        envelope = Envelope(
            job_id=f"job_{part}", dispatch_id=f"dispatch_{part}", name=name, args=msgspec.json.encode(args), **more
        )
        await self.transport.enqueue(queue, [envelope])
        return envelope.dispatch_id

    async def record(self, dispatch_id: str, queue: str = "default") -> Record:
        """What the store knows of it."""
        found = await self.transport.find(queue, dispatch_id)
        assert found is not None
        return found

    async def status(self, dispatch_id: str, queue: str = "default") -> JobStatus:
        """Its status now."""
        return (await self.record(dispatch_id, queue)).status

    async def ends(self, dispatch_id: str, queue: str = "default") -> Record:
        """Its record, once it has ended."""

        async def ended() -> Record | None:
            record = await self.record(dispatch_id, queue)
            return record if record.status.is_final else None

        found = await eventually(ended)
        assert found is not None
        return found

    async def runs(self, dispatch_id: str, queue: str = "default") -> None:
        """Returns once it runs."""

        async def running() -> bool:
            return await self.status(dispatch_id, queue) is JobStatus.RUNNING

        await eventually(running)

    def open(self, door: str) -> None:
        """Let the jobs that wait at that door go on."""
        (self.directory / door).touch()


def write_app(directory: Path) -> None:
    """Put the app under test there, as ``jobs.py``."""
    shutil.copy(Path(__file__).parent / "app.py", directory / "jobs.py")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """On the SQLite file that is the default."""
    write_app(tmp_path)
    transport = SqliteTransport(str(tmp_path / "heracles.db"))
    yield Site(tmp_path, transport)
    await transport.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """A Redis of the test's own."""
    started = Server(redis_7()).start()
    yield started
    started.stop()
