"""One store: its file, its threads and whom it wakes. All transports of a process on one file share it."""

import atexit
import os
import threading
import weakref

from heracles.sqlite.bell import IS_SUPPORTED, SocketBell
from heracles.sqlite.database import MEMORY, Database
from heracles.sqlite.wake import Hub, Silence
from heracles.sqlite.writer import T, TransactionThread, Work

#: How long a process that ends waits for its connections to be closed.
_FAREWELL_S = 2.0


class Store:
    """What a process has of one database."""

    def __init__(self, path: str, *, sync_every_commit: bool) -> None:
        self.pid = os.getpid()
        self._path = path
        self._sync_every_commit = sync_every_commit
        self._checked = False
        self._bell = SocketBell(path) if IS_SUPPORTED and path != MEMORY else None
        self.hub = Hub(self._bell or Silence())
        self._writer = TransactionThread(path, self._open, "begin_write", self._between)
        # In memory there is one connection, and reading takes its turn among the writers.
        self._reader = (
            self._writer if path == MEMORY else TransactionThread(path, self._open, "begin_read", lambda: None)
        )

    async def write(self, work: Work[T], weight: int = 1) -> T:
        """Run the work in a transaction that may change the store."""
        return await self._writer.run(work, weight)

    async def read(self, work: Work[T]) -> T:
        """Run the work in a transaction that sees one state of the store, beside whoever writes."""
        return await self._reader.run(work)

    def stop(self) -> tuple[threading.Event, threading.Event]:
        """End the threads and close the connections where nothing is under way; what comes later begins them anew."""
        self.hub.quiet(at_once=True)
        return self._reader.stop(), self._writer.stop()

    def _open(self) -> Database:
        database = Database(self._path, sync_every_commit=self._sync_every_commit, check=not self._checked)
        self._checked = True
        return database

    def _between(self) -> float | None:
        if self._bell is not None:
            self._bell.renew()
        self.hub.quiet()
        return self.hub.ring_due()

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
        for looked in self.stop():
            looked.wait(_FAREWELL_S)


class Stores:
    """The stores of this process, by file."""

    def __init__(self) -> None:
        self._inherited: list[Store] = []
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._all: weakref.WeakSet[Store] = weakref.WeakSet()
        self._files: weakref.WeakValueDictionary[tuple[str, bool], Store] = weakref.WeakValueDictionary()
        self._held: list[Store] = []

    def get(self, path: str, *, sync_every_commit: bool) -> Store:
        """The store of that file; for ``:memory:`` a new one."""
        key = (path if path == MEMORY else os.path.realpath(path), sync_every_commit)
        with self._lock:
            store = None if path == MEMORY else self._files.get(key)
            if store is None:
                store = Store(key[0], sync_every_commit=sync_every_commit)
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
