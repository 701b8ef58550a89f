"""A store with worker processes on it."""

import itertools
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from heracles.model import Envelope, JobStatus, Record
from tests import history
from tests.cli.process import Running, running
from tests.stores import RedisStore, SqliteStore, Store
from tests.waiting import eventually

QUEUE = "jobs"
LEASE_MS = 1000
ROOT = Path(__file__).parents[2]


class ProcessSite:
    """Dispatches, starts worker processes, and reads what their jobs have written down."""

    #: The module that the workers import.
    app = "tests.processes.app"

    def __init__(self, store: Store, folder: Path, processes: ExitStack) -> None:
        self.transport = store.transport(lease=LEASE_MS)
        self.folder = folder
        self.history = folder / "history.jsonl"
        self._store = store
        self._processes = processes
        self._numbers = itertools.count(1)

    def worker(self, *arguments: str, id: str = "worker-1", lease_ms: int = LEASE_MS) -> Running:
        """A worker process. It may not take jobs yet."""
        prefix = [f"--key-prefix={self._prefix}"] if self._prefix else []
        given = (f"--id={id}", "--queues=jobs", f"--app={self.app}", f"--lease={lease_ms}", "--retry-delay=10")
        return self._processes.enter_context(
            running("work", *given, *prefix, *arguments, cwd=self.folder, env=self._environment)
        )

    def program(self, source: str) -> Running:
        """A program in which ``make()`` makes a transport on the store."""
        options = f"lease={LEASE_MS}" + (f", key_prefix={self._prefix!r}" if self._prefix else "")
        make = f"def make(): return transport_from_url({self._url!r}, {options})\n"
        return self._processes.enter_context(
            running(cwd=self.folder, env=self._environment, command=(sys.executable, "-c", make + source))
        )

    @property
    def _environment(self) -> dict[str, str]:
        return {"HERACLES_URL": self._url, "PROCESS_TEST_FOLDER": str(self.folder), "PYTHONPATH": str(ROOT)}

    @property
    def _url(self) -> str:
        if isinstance(self._store, SqliteStore):
            return f"sqlite:///{self._store.path}"
        assert isinstance(self._store, RedisStore)
        return self._store.servers[0].url

    @property
    def _prefix(self) -> str:
        return self._store.prefix if isinstance(self._store, RedisStore) else ""

    @property
    def is_one_file(self) -> bool:
        """Whether the processes share a file instead of a server."""
        return isinstance(self._store, SqliteStore)

    async def dispatch(self, name: str, *args: Any, **fields: Any) -> str:
        """Its dispatch id."""
        number = next(self._numbers)
        given = {"job_id": f"job-{number}", "dispatch_id": f"dispatch-{number}", "args": json.dumps(args).encode()}
        envelope = Envelope(name=name, **{**given, **fields})
        await self.transport.enqueue(QUEUE, [envelope])
        return envelope.dispatch_id

    def open(self, door: str) -> None:
        """Let the jobs go that wait for it."""
        (self.folder / door).touch()

    async def record(self, dispatch_id: str) -> Record:
        found = await self.transport.find(QUEUE, dispatch_id)
        assert found is not None
        return found

    async def until(self, dispatch_id: str, *statuses: JobStatus) -> Record:
        """Its record, once it has one of these statuses; a final one by default."""

        async def look() -> Record | None:
            record = await self.record(dispatch_id)
            return record if record.status in statuses or (not statuses and record.status.is_final) else None

        found = await eventually(look, what=f"{dispatch_id} is {statuses or 'final'}", interval_s=0.02, deadline_s=30)
        assert found is not None
        return found

    def runs(self, dispatch_id: str) -> Sequence[history.Started]:
        """Its starts so far."""
        if not self.history.exists():
            return ()
        events = history.read(self.history)
        return [event for event in events if isinstance(event, history.Started) and event.dispatch_id == dispatch_id]

    async def begun(self, dispatch_id: str, times: int = 1) -> Sequence[history.Started]:
        """Its starts, once there are so many."""
        await eventually(
            lambda: len(self.runs(dispatch_id)) >= times, what=f"{dispatch_id} runs", deadline_s=30, interval_s=0.02
        )
        return self.runs(dispatch_id)
