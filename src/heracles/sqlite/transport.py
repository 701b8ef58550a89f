"""The transport on one SQLite file: each verb is one or more transactions of the modules beside this one."""

import asyncio
import itertools
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, Unpack

import msgspec

from heracles.errors import OptionError
from heracles.model import (
    Beaten,
    Changes,
    CleanupRules,
    Delivery,
    Envelope,
    Exchange,
    Gates,
    Held,
    JobStatus,
    Overview,
    Record,
    Report,
    Session,
    Stored,
    Swept,
    WorkerInfo,
)
from heracles.options import Scope, StoreSettings, check_options
from heracles.sqlite import control, holding, reading
from heracles.sqlite.database import MEMORY
from heracles.sqlite.exchanging import ExchangeWork, Step
from heracles.sqlite.listener import SqliteListener, Waker
from heracles.sqlite.starting import is_suspect
from heracles.sqlite.store import STORES, Store
from heracles.sqlite.storing import store
from heracles.sqlite.sweeping import Sweeper
from heracles.sqlite.turn import Turn
from heracles.sqlite.writer import Effect, T
from heracles.transport_options import TransportOptions
from heracles.units import now_ms

#: Items of one call that share a transaction, so that others wait for a few milliseconds at most.
_ITEMS_AT_ONCE = 250
_memory_numbers = itertools.count(1)
Item = TypeVar("Item")


class SqliteTransport:
    """Queues and workers on one SQLite file, for several processes on one machine.

    ``path`` is taken relative to the working directory of this moment. ``":memory:"`` is a store of this object alone:
    give the same transport to the queues and workers that are to share it.

    Whatever was acknowledged survives the end of every process. By default what producers and people did (dispatches,
    cancels, gates, cleanups) survives a loss of power too; of what workers reported the last moments may not, and those
    jobs run again. With ``durability="fsync"`` all of it does; with ``"memory"``, given explicitly, nothing of the last
    moments.

    Args:
        path: the database file; it is made at the first use, in a folder that exists.
        clock: this machine's clock in epoch milliseconds; tests may give another.
        options: the options of every transport, by name.

    Raises:
        OptionError: an option is unknown or its value not allowed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = "heracles.db",
        *,
        clock: Callable[[], int] = now_ms,
        **options: Unpack[TransportOptions],
    ) -> None:
        checked = check_options({"path": os.fspath(path)} | options, Scope.SQLITE, "SqliteTransport")
        if checked.get("durability") == "replicated":
            raise OptionError("durability='replicated' is not possible with one file: 'fsync' is the strongest here")
        self._options = checked
        self._settings = StoreSettings.of(checked)
        given_durability = checked.get("durability")
        self._syncs_acts = given_durability != "memory"
        self._syncs_reports = given_durability == "fsync"
        given = checked["path"]
        self._path = MEMORY if given == MEMORY else os.path.abspath(given)
        self._number = next(_memory_numbers)
        self._clock = clock
        self._opened: Store | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """The options that it was given, checked."""
        return self._options

    @property
    def settings(self) -> StoreSettings:
        """The options that queues and workers go by."""
        return self._settings

    @property
    def identity(self) -> str:
        """The store's URL; each store in memory has its own."""
        return f"sqlite:///{self._path}" + (f"#{self._number}" if self._path == MEMORY else "")

    def __repr__(self) -> str:
        return f"SqliteTransport({self.identity!r})"

    @property
    def _store(self) -> Store:
        if self._opened is None or self._opened.pid != os.getpid():
            self._opened = STORES.get(self._path)
            # The threads go when nobody can use them any more.
            weakref.finalize(self, self._opened.stop).atexit = False
        return self._opened

    @property
    def overlaps_calls(self) -> bool:
        """As ``Transport.overlaps_calls``: they are carried out by this process itself."""
        return False

    @property
    def waits_for_jobs(self) -> bool:
        """As ``Transport.waits_for_jobs``: the way to the store is no longer than that of a hint."""
        return False

    async def open(self) -> None:
        """Make or check the file, and that it can be written."""
        await self._store.write(lambda connection: (None, None), 1, synced=False)

    async def close(self) -> None:
        """Close the connections, unless somebody is using them; a store in memory stays as long as this object."""
        if self._opened is not None and self._path != MEMORY:
            await asyncio.to_thread(self._opened.close)

    # ----------------------------------------------------------------------------------------------- transactions

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._store.read(lambda connection: (work(connection), None))

    async def _change(
        self, queue: str, do: Callable[[Turn], T], *, absent: T, create: bool = False, weight: int = 1
    ) -> T:
        """Do that to one queue in one transaction; ``absent`` is the answer where there is no such queue."""
        hub = self._store.hub

        def work(connection: sqlite3.Connection) -> tuple[T, Effect | None]:
            turn = Turn.on(connection, queue, self._clock(), self._settings, create=create)
            if turn is None:
                return absent, None
            answer = do(turn)
            hints = turn.close()
            return answer, lambda: hub.tell(hints)

        return await self._store.write(work, weight, synced=self._syncs_acts)

    # -------------------------------------------------------------------------------------------------- producers

    async def enqueue(self, queue: str, envelopes: Sequence[Envelope]) -> Sequence[Stored]:
        """Store each dispatch once."""
        answers: list[Stored] = []
        for lot in _lots(envelopes):
            answers += await self._enqueue(queue, lot)
        return answers

    async def _enqueue(self, queue: str, envelopes: Sequence[Envelope]) -> tuple[Stored, ...]:
        nothing: tuple[Stored, ...] = ()
        return await self._change(
            queue, lambda turn: store(turn, envelopes), absent=nothing, create=True, weight=len(envelopes)
        )

    # ---------------------------------------------------------------------------------------------------- workers

    async def exchange(
        self,
        queue: str,
        session: Session,
        reports: Sequence[Report],
        slots: int,
        *,
        suspects: bool = True,
        pause_on_error: bool = False,
        wait_ms: int = 0,
    ) -> Exchange:
        """Apply the reports and start up to ``slots`` jobs."""
        answers: list[Exchange] = []
        *early, last = _lots(reports) or [()]
        for lot in early:
            answers.append(await self._exchange(Step(queue, session, lot, 0, False, pause_on_error)))
        while True:
            step = Step(queue, session, last, min(slots, _ITEMS_AT_ONCE), suspects, pause_on_error)
            answers.append(await self._exchange(step))
            slots -= _ITEMS_AT_ONCE
            started = answers[-1].started
            if slots <= 0 or len(started) < _ITEMS_AT_ONCE:
                return _joined(answers)
            last, suspects = (), suspects and not any(is_suspect(delivery) for delivery in started)

    async def _exchange(self, step: Step) -> Exchange:
        work = ExchangeWork(step, self._store.hub, self._settings, self._clock)
        answer: Exchange = await self._store.write(work, len(step.reports) + step.slots, synced=self._syncs_reports)
        return answer

    async def end_wait(self, queue: str, session: Session) -> None:
        """None waits here."""

    async def recover(self, queue: str, session: Session, held: Sequence[Held]) -> Sequence[Delivery]:
        """What a lost answer had started."""
        nothing: tuple[Delivery, ...] = ()
        return await self._change(queue, lambda turn: holding.recover(turn, session, held), absent=nothing)

    async def beat(self, session: Session, queues: Sequence[str], status: str, held: Sequence[Held]) -> Beaten:
        """Renew the worker's record and its leases."""

        def work(connection: sqlite3.Connection) -> tuple[Beaten, Effect | None]:
            return holding.beat(connection, self._clock(), self._settings, session, queues, status, held), None

        return await self._store.write(work, len(held), synced=self._syncs_reports)

    async def retire(self, session: Session, queues: Sequence[str]) -> None:
        """Remove the worker's record and wake another one."""
        hub = self._store.hub

        def work(connection: sqlite3.Connection) -> tuple[None, Effect | None]:
            holding.retire(connection, session)
            return None, lambda: hub.pass_on(session.consumer, queues)

        await self._store.write(work, 1, synced=self._syncs_reports)

    def listen(self, session: Session, queues: Sequence[str]) -> SqliteListener:
        """Hints for one worker."""
        return SqliteListener(self._store.hub, session, queues)

    async def maintain(self, queue: str) -> Swept:
        """One pass of upkeep."""
        return await self._sweeper(queue).maintain(self._settings)

    # ---------------------------------------------------------------------------------------------------- control

    async def gate(self, queue: str, *, paused: bool | None = None, draining: bool | None = None) -> Gates:
        """Set and tell the gates."""
        if paused is None and draining is None:
            return (await self.overview(queue)).gates
        return await self._change(
            queue, lambda turn: control.set_gates(turn, paused, draining), absent=Gates(), create=True
        )

    async def cancel(self, queue: str, ids: Sequence[str]) -> Sequence[bool]:
        """Cancel by dispatch id or job id."""
        answers: list[bool] = []
        for id in ids:
            answers.append(await self._change(queue, partial(control.cancel_one, id=id), absent=False))
        return answers

    async def clear(self, queue: str, *, running: bool = False) -> int:
        """Cancel all that had not started."""
        return await self._sweeper(queue).cancel_all(running=running)

    async def cleanup(self, queue: str, rules: CleanupRules) -> Swept:
        """Remove, or say what would be removed."""
        if rules.dry_run:
            return await self._sweeper(queue).preview(rules)
        if rules.everything:
            return await self._sweeper(queue).remove_everything()
        return await self._sweeper(queue).remove(rules)

    def _sweeper(self, queue: str) -> Sweeper:
        return Sweeper(partial(self._change, queue))

    # ---------------------------------------------------------------------------------------------------- reading

    async def find(self, queue: str, id: str) -> Record | None:
        """One record."""
        return await self._read(lambda connection: reading.find(connection, queue, id, self._clock()))

    async def page(self, queue: str, status: JobStatus | None, limit: int) -> Sequence[Record]:
        """The newest records."""
        return await self._read(lambda connection: reading.page(connection, queue, status, limit, self._clock()))

    async def overview(self, queue: str) -> Overview:
        """The queue's numbers and gates."""
        return await self._read(lambda connection: reading.overview(connection, queue, self._clock()))

    async def changes(self, queue: str, cursor: str | None, timeout_ms: int) -> Changes:
        """The status changes after the cursor."""
        end = time.monotonic() + timeout_ms / 1000
        while True:
            waker = Waker()
            self._store.hub.watch(queue, waker.wake)
            try:
                found = await self._read(lambda connection: reading.changes(connection, queue, cursor, self._clock()))
                left_ms = int((end - time.monotonic()) * 1000)
                if cursor is None or found.changes or left_ms <= 0:
                    return found
                await waker.wait(min(left_ms, self._settings.poll_interval_ms))
            finally:
                self._store.hub.unwatch(queue, waker.wake)

    async def queues(self) -> Sequence[str]:
        """The names of all queues."""
        return await self._read(reading.queue_names)

    async def workers(self) -> Sequence[WorkerInfo]:
        """The live workers."""
        return await self._read(lambda connection: holding.live_workers(connection, self._clock()))


def _lots(items: Sequence[Item]) -> list[Sequence[Item]]:
    return [items[start : start + _ITEMS_AT_ONCE] for start in range(0, len(items), _ITEMS_AT_ONCE)]


def _joined(answers: Sequence[Exchange]) -> Exchange:
    """One answer to all steps: what holds now is what the last one said."""
    return msgspec.structs.replace(
        answers[-1],
        verdicts=tuple(verdict for answer in answers for verdict in answer.verdicts),
        started=tuple(delivery for answer in answers for delivery in answer.started),
    )
