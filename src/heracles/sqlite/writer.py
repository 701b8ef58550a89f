"""One thread that owns one connection and runs transactions on it, what waits together in one commit."""

import asyncio
import contextlib
import logging
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from heracles.errors import TransportError, TransportUnavailableError
from heracles.sqlite.database import Database, FileReplacedError
from heracles.sqlite.faults import is_busy, translated
from heracles.sqlite.haste import Haste
from heracles.sqlite.queries import SQL

logger = logging.getLogger("heracles.sqlite")

#: How long a request waits for a lock that somebody else holds. Over the 8 s that a backup or a shell may take.
PATIENCE_S = 12.0
#: The longest pause before the lock is tried again: short at first, as other workers hold it for about 1 ms.
_SHORT_PAUSE_S, _LONG_PAUSE_S, _IMPATIENT_S = 0.001, 0.01, 0.2
#: Jobs that one commit may hold, so that it keeps others waiting for a few milliseconds at most.
_LARGEST_GROUP = 500

haste = Haste()

T = TypeVar("T")
Effect = Callable[[], None]
#: Runs inside a transaction, possibly several times; returns the answer and what to do once it is committed.
Work = Callable[[sqlite3.Connection], tuple[T, Effect | None]]


class Joinable(Protocol):
    """Work that costs less together with other work of its kind."""

    @property
    def kind(self) -> object:
        """Only work of equal kinds is done together."""
        ...

    def together(self, connection: sqlite3.Connection, works: Sequence[Any]) -> Sequence[tuple[Any, Effect | None]]:
        """Do all these works, this one among them; what each of them would return."""
        ...


class Request(NamedTuple):
    """One piece of work and the future that waits for it."""

    work: Work[Any] | Joinable
    weight: int
    synced: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    deadline: float


class Settled(NamedTuple):
    """What became of one request: an answer, or an error."""

    request: Request
    answer: Any = None
    error: BaseException | None = None


class TransactionThread:
    """Runs requests of any event loop, in order. Starts with the first one; ``stop`` ends it until the next.

    ``between`` is called between transactions and returns the seconds after which it wants to be called again;
    ``rest`` is called when the thread ends.
    """

    def __init__(
        self,
        path: str,
        open_database: Callable[[], Database],
        begin: str,
        between: Callable[[], float | None] = lambda: None,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._open_database = open_database
        self._begin = begin
        self._between = between
        self._rest = rest
        self._requests: queue.SimpleQueue[Request | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        # Reentrant, as the garbage collector may call ``stop`` from within.
        self._starting = threading.RLock()
        # Held while SQLite works: whoever forks takes it, so that no child inherits a connection in use.
        self.using = threading.Lock()
        self._database: Database | None = None

    async def run(self, work: Work[T] | Joinable, weight: int = 1, *, synced: bool = True) -> T:
        """The answer of the work, committed, and if ``synced`` on disk with all that was committed before it.

        Raises:
            TransportUnavailableError: the lock was not to be had in time.
            TransportError: the file refused it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        request = Request(work, weight, synced, loop, future, time.monotonic() + PATIENCE_S)
        with self._starting:
            self._requests.put(request)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=f"heracles {self._begin}", daemon=True)
                self._thread.start()
        return await future

    def stop(self) -> threading.Event:
        """End the thread and close its connection once it has nothing to do. The event says when it has looked."""
        looked = threading.Event()
        # With the lock, or a thread that is just ending would never see it.
        with self._starting:
            if self._thread is None:
                looked.set()
            else:
                self._requests.put(looked)
        return looked

    def disconnect(self) -> None:
        """Close the connection; the next request opens another. To be called with ``using`` held."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    # ------------------------------------------------------------------------------------------------ in the thread

    def _serve(self) -> None:
        while True:
            group, stopping = self._take()
            self._settle(group)
            # While it waits for the next one, the thread keeps nothing alive.
            group.clear()
            if stopping is not None and self._retire(stopping):
                return

    def _retire(self, looked: threading.Event) -> bool:
        """Whether nothing came after the call to stop; then the connection is closed."""
        with self._starting:
            idle = self._requests.empty()
            if idle:
                with self.using:
                    self.disconnect()
                self._rest()
                self._thread = None
        looked.set()
        return idle

    def _take(self) -> tuple[list[Request], threading.Event | None]:
        """All that waits, up to the size of a group, and what a call to stop waits for."""
        group: list[Request] = []
        size = 0
        try:
            request = self._requests.get(timeout=self._pause_between())
            while not isinstance(request, threading.Event):
                group.append(request)
                size += request.weight
                if size >= _LARGEST_GROUP:
                    return group, None
                request = self._requests.get_nowait()
        except queue.Empty:
            return group, None
        return group, request

    def _pause_between(self) -> float | None:
        try:
            return self._between()
        except Exception:
            # Whatever wakes others may be missed; the thread may not.
            logger.exception("between transactions on %s", self._path)
            return None

    def _settle(self, group: Sequence[Request]) -> None:
        begun = time.monotonic()
        while group := self._patient(group):
            try:
                with self.using:
                    settled = self._transact(group)
            except Exception as error:  # noqa: BLE001 - the thread has to survive; the caller gets it
                if isinstance(error, sqlite3.Error) and is_busy(error):
                    _pause(time.monotonic() - begun)
                    continue
                self._refuse(group, error)
                return
            if settled is not None:
                _deliver(settled)
                return

    def _patient(self, group: Sequence[Request]) -> list[Request]:
        """Those that somebody still waits for, and whose time has not run out."""
        now = time.monotonic()
        late = [request for request in group if request.deadline < now]
        if late:
            said = f"{self._path} has been locked by another program for {PATIENCE_S:.0f} s"
            _deliver([Settled(request, error=TransportUnavailableError(said)) for request in late])
        return [request for request in group if request.deadline >= now and not request.future.cancelled()]

    def _refuse(self, group: Sequence[Request], error: Exception) -> None:
        """One of a group failed and nothing was stored: try each by itself, so that it fails alone."""
        if len(group) > 1:
            for request in group:
                self._settle([request])
            return
        said = translated(error, self._path) if isinstance(error, sqlite3.Error) else error
        said.__cause__ = error if said is not error else error.__cause__
        _deliver([Settled(request, error=said) for request in group])

    def _transact(self, group: Sequence[Request]) -> list[Settled] | None:
        """Do all in one transaction; None where the file was deleted under it, and it has to be done again."""
        # From the first system call to the last: each of them hands over the interpreter's lock as statements do.
        with haste():
            committed = self._commit(group)
            if committed is None:
                return None
            database, done = committed
            for _, effect in done:
                if effect is not None:
                    _take_effect(effect)
        unsynced = self._sync(database) if any(request.synced for request in group) else None
        return [
            Settled(request, answer, unsynced if request.synced else None)
            for request, (answer, _) in zip(group, done, strict=True)
        ]

    def _commit(self, group: Sequence[Request]) -> tuple[Database, Sequence[tuple[Any, Effect | None]]] | None:
        """Where it was done, and what each of the works returned; None as in ``_transact``."""
        try:
            database = self._current_database()
        except FileReplacedError:
            return None
        connection = database.connection
        try:
            connection.execute(SQL[self._begin])
            done = _done(connection, [request.work for request in group])
            connection.execute(SQL["commit"])
        except BaseException as error:
            self._abandon(database, error)
            if isinstance(error, sqlite3.Error) and not database.is_current():
                return None
            raise
        return database, done

    def _sync(self, database: Database) -> TransportError | None:
        """What those are told who count on it that their commit is on the disk, if it is not."""
        try:
            database.sync()
        except OSError as error:
            self.disconnect()
            return TransportUnavailableError(f"{self._path} could not be written to the disk: {error.strerror}")
        return None

    def _current_database(self) -> Database:
        if self._database is not None and not self._database.is_current():
            logger.warning("%s was deleted or replaced: going on with what stands there now", self._path)
            self.disconnect()
        if self._database is None:
            self._database = self._open_database()
        return self._database

    def _abandon(self, database: Database, error: BaseException) -> None:
        """Undo what the transaction did; an error of the connection's own costs the connection."""
        try:
            if database.connection.in_transaction:
                database.connection.execute(SQL["rollback"])
        except sqlite3.Error as failed:
            logger.debug("rolling back %s: %s", self._path, failed)
        if isinstance(error, sqlite3.Error) and not is_busy(error) and not database.is_memory:
            self.disconnect()


def _done(connection: sqlite3.Connection, works: Sequence[Work[Any] | Joinable]) -> Sequence[tuple[Any, Effect | None]]:
    """Do all these works; what each of them returned. Those that can be joined are done when the first of them is."""
    done: dict[int, tuple[Any, Effect | None]] = {}
    for number, work in enumerate(works):
        if number in done:
            continue
        if callable(work):
            done[number] = work(connection)
            continue
        kind = work.kind
        alike = [other for other in range(number, len(works)) if not callable(one := works[other]) and one.kind == kind]
        answers = work.together(connection, [works[other] for other in alike])
        done.update(zip(alike, answers, strict=True))
    return [done[number] for number in range(len(works))]


def _take_effect(effect: Effect) -> None:
    try:
        effect()
    except Exception:
        # What was done is done, whoever could not be told of it.
        logger.exception("after a transaction")


def _pause(waited_s: float) -> None:
    """Wait for the lock. Workers hold it for about 1 ms; whoever holds it longer is no worker."""
    time.sleep(random.uniform(0, _SHORT_PAUSE_S if waited_s < _IMPATIENT_S else _LONG_PAUSE_S))


def _deliver(settled: Sequence[Settled]) -> None:
    """Wake those who wait, each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[Settled]] = {}
    for one in settled:
        loops.setdefault(one.request.loop, []).append(one)
    for loop, of_loop in loops.items():
        # A loop that was closed meanwhile has nobody who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, of_loop)


def _resolve(settled: Sequence[Settled]) -> None:
    for request, answer, error in settled:
        if request.future.done():
            continue
        if error is None:
            request.future.set_result(answer)
        else:
            request.future.set_exception(error)
