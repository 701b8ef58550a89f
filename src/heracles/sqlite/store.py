"""One store: its file, its threads and whom it wakes. All transports of a process on one file share it."""

import atexit
import os
import threading
import time
import weakref

from heracles.sqlite.bell import IS_SUPPORTED, SocketBell
from heracles.sqlite.database import MEMORY, Database
from heracles.sqlite.wake import Hub, Silence
from heracles.sqlite.writer import Joinable, T, TransactionThread, Work

#: How long a process that ends waits for its connections to be closed.
_FAREWELL_S = 2.0
#: How long whoever deletes a database may take for its files.
_DELETION_S = 0.05


class Store:
    """What a process has of one database."""

    def __init__(self, path: str) -> None:
        self.pid = os.getpid()
        self._path = path
        self._opening = threading.Lock()
        self._latest: Database | None = None
        self._bell = SocketBell(path) if IS_SUPPORTED and path != MEMORY else None
        self.hub = Hub(self._bell or Silence())
        self._writer = TransactionThread(path, self._open, "begin_write", self._between, self._rest)
        # In memory there is one connection, and reading takes its turn among the writers.
        self._reader = self._writer if path == MEMORY else TransactionThread(path, self._open, "begin_read")

    async def write(self, work: Work[T] | Joinable, weight: int, *, synced: bool) -> T:
        """Run the work in a transaction that may change the store; ``synced``: its commit survives a loss of power."""
        return await self._writer.run(work, weight, synced=synced)

    async def read(self, work: Work[T]) -> T:
        """Run the work in a transaction that sees one state of the store, beside whoever writes."""
        return await self._reader.run(work, synced=False)

    def stop(self) -> None:
        """Let the threads end and close their connections, unless they have something to do; waits for nothing."""
        self._reader.stop()
        self._writer.stop()

    def close(self, timeout_s: float | None = None) -> None:
        """As ``stop``, and wait for it. One after the other: the last to close folds the log into the file, and of
        two at once neither is the last."""
        for thread in (self._reader, self._writer):
            thread.stop().wait(timeout_s)

    def _open(self) -> Database:
        with self._opening:
            before = self._latest
            if before is not None and not before.is_current():
                # Whoever deletes a file deletes what stands beside it next.
                time.sleep(_DELETION_S)
                before.discard_log()
            # Looking at all pages once a process is enough.
            self._latest = Database(self._path, check=before is None or not before.is_current())
            return self._latest

    def _between(self) -> float | None:
        if self._bell is not None:
            self._bell.renew()
        self.hub.quiet()
        return self.hub.ring_due()

    def _rest(self) -> None:
        self.hub.quiet(at_once=True)
        if self._bell is not None:
            self._bell.rest()

    # ----------------------------------------------------------------------------------------------- fork and the end

    def hold(self) -> None:
        """Before a fork: wait for what is under way, and leave no connection that the child would inherit."""
        for thread in {self._reader, self._writer}:
            thread.using.acquire()
            if self._path != MEMORY:
                thread.disconnect()

    def go_on(self) -> None:
        """After a fork, in the parent."""
        for thread in {self._reader, self._writer}:
            thread.using.release()

    def forsake(self) -> None:
        """After a fork, in the child: this is the parent's."""
        if self._bell is not None:
            self._bell.forsake()

    def farewell(self) -> None:
        """The process ends: the last one to close its connection folds the log into the file."""
        if self._bell is not None:
            self._bell.close()
        self.close(_FAREWELL_S)


class Stores:
    """The stores of this process, by file."""

    def __init__(self) -> None:
        self._inherited: list[Store] = []
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._all: weakref.WeakSet[Store] = weakref.WeakSet()
        self._files: weakref.WeakValueDictionary[str, Store] = weakref.WeakValueDictionary()
        self._held: list[Store] = []

    def get(self, path: str) -> Store:
        """The store of that file; for ``:memory:`` a new one."""
        key = path if path == MEMORY else os.path.realpath(path)
        with self._lock:
            store = None if path == MEMORY else self._files.get(key)
            if store is None:
                store = Store(key)
                self._all.add(store)
                if path != MEMORY:
                    self._files[key] = store
            return store

    def hold(self) -> None:
        """Before a fork."""
        self._lock.acquire()
        self._held = list(self._all)
        for store in self._held:
            store.hold()

    def go_on(self) -> None:
        """After a fork, in the parent."""
        for store in self._held:
            store.go_on()
        self._held = []
        self._lock.release()

    def begin_anew(self) -> None:
        """After a fork, in the child, whose threads and locks are its own. The parent's stores are kept, as their
        memory may not be freed while it says that a thread uses it."""
        self._inherited += self._held
        for store in self._held:
            store.forsake()
        self._begin()

    def farewell(self) -> None:
        """The process ends."""
        for store in list(self._all):
            store.farewell()


#: One writer a file and process: two would wait for each other's locks.
STORES = Stores()
atexit.register(STORES.farewell)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=STORES.hold, after_in_parent=STORES.go_on, after_in_child=STORES.begin_anew)
