"""One background event loop for a process, on which callers without one of their own run coroutines."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from heracles.errors import RunningLoopError

T = TypeVar("T")


class Portal:
    """Starts its loop at the first call, in a daemon thread: nothing has to be closed, and no process waits for it.

    Calls may come from any number of threads at once. A forked child starts a loop of its own.
    """

    def __init__(self) -> None:
        # The loops of parent processes: never touched again, and kept, since letting go of one would close the
        # selector that the parent still uses.
        self._abandoned: list[asyncio.AbstractEventLoop] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, awaited: str) -> T:
        """Run a coroutine function to its end and return its result. ``awaited`` is how to await it.

        An exception in the waiting thread, such as KeyboardInterrupt, cancels it.

        Raises:
            RunningLoopError: this thread has a running event loop, which waiting here would block.
        """
        _refuse_running_loop(awaited)
        loop = self._running()
        future = asyncio.run_coroutine_threadsafe(function(*args), loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def run_later(self, function: Callable[..., Coroutine[Any, Any, object]], *args: Any) -> None:
        """Run a coroutine function without waiting for it; from any thread, also where a loop runs."""
        loop = self._running()
        asyncio.run_coroutine_threadsafe(function(*args), loop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = self._start()
            return self._loop

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="heracles-portal", daemon=True).start()
        return loop

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        if self._loop is not None:
            self._abandoned.append(self._loop)
            self._loop = None


def _refuse_running_loop(awaited: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RunningLoopError(f"an event loop is running in this thread, and waiting would block it: use {awaited}")


#: The one of this process.
PORTAL = Portal()
