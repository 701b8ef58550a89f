"""``Worker``: puts the parts together, starts and stops them."""

import asyncio
import contextlib
import enum
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, Unpack

from heracles.errors import HeraclesError, OptionError, TransportUnavailableError
from heracles.job import all_jobs
from heracles.options import OPTIONS, Scope, check_options, check_queue_name
from heracles.queue.serving import served, served_no_more
from heracles.transport import Transport
from heracles.transport_options import ConnectedOptions, TransportOptions
from heracles.units import new_id
from heracles.wiring import DEFAULT_PATH, recipe_of_connection, recipe_of_path
from heracles.worker.executor import Executor
from heracles.worker.health import pause_s
from heracles.worker.lane import Crew
from heracles.worker.link import Link
from heracles.worker.plan import QueueSettings
from heracles.worker.shutdown import end_jobs, exit_unless
from heracles.worker.signals import SignalWatch
from heracles.worker.slots import Slots, Suspects
from heracles.worker.source import Source, settings_given

logger = logging.getLogger("heracles.worker")


class State(enum.Enum):
    """Where a worker stands."""

    NEW = "new"
    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Worker:
    """Runs the jobs of one or more queues on the event loop on which it is started.

    ::

        async with Worker(id="worker-1") as worker:
            await worker.create_queue(name="emails", concurrency=4)
            await worker.run()

    Args:
        id: its name, as ``queue.workers()`` shows it; generated when left out. Two live workers may share one.
        transport: where its queues are: an instance, or a class with ``transport_options``. Left out, each queue is
            where ``Queue.get`` says, or else on the default store.
        concurrency: how many jobs run at once in all its queues together; None: no limit beyond those of the queues.
        shutdown_timeout: milliseconds, or a timedelta, after which a stop becomes one by force.
    """

    def __init__(
        self,
        *,
        id: str | None = None,
        transport: type[Transport] | Transport | None = None,
        transport_options: Mapping[str, Any] | None = None,
        concurrency: int | None = None,
        shutdown_timeout: int | float | timedelta | None = None,
    ) -> None:
        self.id: str = OPTIONS["id"].check(f"worker_{new_id()}" if id is None else id)
        given = {"concurrency": concurrency, "shutdown_timeout": shutdown_timeout}
        checked = check_options(given, Scope.WORK, "Worker")
        self._concurrency: int | None = checked.get("concurrency")
        timeout_ms: int | None = checked.get("shutdown_timeout")
        self._patience_s = None if timeout_ms is None else timeout_ms / 1000
        self._source = Source.of(transport, transport_options)
        self._queues: dict[str, Sequence[Mapping[str, Any]]] = {}
        self._links: list[Link] = []
        self._crew: Crew | None = None
        self._state = State.NEW
        self._starting = asyncio.Lock()
        self._runs = False
        self._stop_wanted = asyncio.Event()
        self._forced = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None
        self._has_stopped = threading.Event()
        self._ends_process = False

    # ---------------------------------------------------------------------------------------------------------- queues

    async def create_queue(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        max_retries: int | None = None,
        retry_delay: int | float | timedelta | None = None,
        pause_on_error: bool | None = None,
    ) -> None:
        """Serve a queue, from ``start`` on, or at once when started.

        What is left out is as ``Queue.get`` says, or else the default. A queue that others have stored jobs in already
        is served just so: nothing is created in the store.

        Raises:
            OptionError: a value is not allowed, the queue is served already, or it is declared in this program
                on another store than this worker's.
            JobRegistrationError: a job of this queue cannot be decoded.
        """
        given = {
            "concurrency": concurrency,
            "max_retries": max_retries,
            "retry_delay": retry_delay,
            "pause_on_error": pause_on_error,
        }
        await self.serve_queue(name, [check_options(given, Scope.QUEUE, "create_queue")])

    async def serve_queue(self, name: str, layers: Sequence[Mapping[str, Any]]) -> None:
        """``create_queue`` with checked options from several places, the strongest first."""
        check_queue_name(name)
        if name in self._queues:
            raise OptionError(f"queue {name!r} is served by worker {self.id!r} already: create it once")
        self._source.check(name)
        self._queues[name] = tuple(layers)
        async with self._starting:
            if self._state is State.STARTED:
                try:
                    link = await self._serve(name)
                    await link.announce()
                    link.begin(name)
                except BaseException:
                    del self._queues[name]
                    served_no_more(name)
                    raise

    @property
    def queues(self) -> Sequence[str]:
        """The names of the queues that it serves."""
        return tuple(self._queues)

    @property
    def is_forced(self) -> bool:
        """Whether it was told to stop by force."""
        return self._forced.is_set()

    # ----------------------------------------------------------------------------------------------- start, run, stop

    async def start(self) -> None:
        """Returns when it takes jobs; safe to call again.

        Raises:
            TransportUnavailableError: the store cannot be reached. It may be started again later.
            TransportError: the store refuses.
            JobRegistrationError: a job of one of its queues cannot be decoded.
            HeraclesError: it has been stopped.
        """
        async with self._starting:
            match self._state:
                case State.NEW:
                    try:
                        await self._start()
                    except TransportUnavailableError as error:
                        # The message says it all; below it are only the transport's own doings.
                        raise TransportUnavailableError(str(error)) from None
                case State.STOPPING | State.STOPPED:
                    raise HeraclesError(f"worker {self.id!r} has been stopped: make a new one")

    async def run(self, *, wait_for_store: bool = False, started: Callable[[], object] | None = None) -> None:
        """Start unless started, and serve until SIGTERM, SIGINT or ``stop``.

        The first signal ends it in order: nothing new is taken, what runs is finished. The second one, or the
        shutdown timeout after the first, stops it by force; code that does not end then, a blocked event loop
        included, is given back to its queue, and the process exits, within 5 s.

        Args:
            wait_for_store: try on while the store is away at the start, instead of raising.
            started: called when it takes jobs; not when it was told to stop before.
        """
        loop = asyncio.get_running_loop()

        def heard(level: int) -> None:
            if self._crew is not None:
                self._crew.slots.close_all()
            loop.call_soon_threadsafe(self._heed_signal, level)
            if level == 2:
                # In a thread of its own, for the event loop may be blocked.
                given = (self._has_stopped, loop, self._links)
                threading.Thread(target=exit_unless, args=given, name="heracles-exit", daemon=True).start()

        self._runs = True
        if self._state is State.NEW:
            # What an earlier call that could not start has left.
            for left in (self._stop_wanted, self._forced, self._has_stopped):
                left.clear()
        try:
            with SignalWatch(heard, self._patience_s):
                await self._start_or_give_up(self._start_at_last() if wait_for_store else self.start())
                if started is not None and self._state is State.STARTED:
                    started()
                await self._stop_wanted.wait()
                await self.stop()
        except BaseException:
            await self.stop(force=True)
            raise
        finally:
            self._runs = False
            self._has_stopped.set()

    async def stop(self, force: bool = False) -> None:
        """Take nothing new, and return when what runs has ended; safe twice, and before ``start``.

        Args:
            force: cancel what runs; it is PENDING again, with the same ``retries``. Returns after 3 s at the latest,
                plus what the store needs. Code in a thread that has not ended by then goes on by itself, and its job
                starts anew elsewhere when its lease ends.
        """
        if not self._runs and self._state is State.NEW and not self._starting.locked():
            return
        self._take_nothing_new()
        if force:
            self._forced.set()
        async with self._starting:
            if self._state is State.STARTED:
                self._state = State.STOPPING
                self._stopping = asyncio.create_task(self._shut_down())
        if self._stopping is not None:
            # Who waits may be cancelled; the stop goes on.
            await asyncio.shield(self._stopping)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; by force when the block was left by an exception."""
        await self.stop(force=kind is not None)

    # -------------------------------------------------------------------------------------------------------- starting

    async def _start(self) -> None:
        self._crew = Crew(Executor(), Slots(self._concurrency), Suspects())
        try:
            if not self._queues and self._source.is_told:
                # So that a store that cannot be used shows now, and not with the first queue.
                await self._link(self._source.undeclared())
            served = {name: await self._serve(name) for name in tuple(self._queues)}
            for link in self._links:
                await link.announce()
            for name, link in served.items():
                link.begin(name)
        except BaseException:
            await self._end_links()
            raise
        self._state = State.STARTED
        logger.info("worker %s serves %s", self.id, ", ".join(self._queues) or "no queue yet")

    async def _serve(self, name: str) -> Link:
        for definition in all_jobs().values():
            if definition.queue == name:
                _ = definition.spec  # raises what has to be told before the first job
        transport = self._source.transport_of(name)
        link = await self._link(transport)
        served_one = self._team.slots.serve_one_queue
        await link.serve(name, transport, QueueSettings([*self._queues[name], settings_given(name)]))
        if served_one:
            # From the second queue on none keeps its slots; there may be a thousand more.
            for each in self._links:
                each.reconsider()
        served(name, transport.identity)
        return link

    async def _link(self, transport: Transport) -> Link:
        """The link to that store, made when there is none yet: a worker has one record in a store."""
        for link in self._links:
            if link.transport.identity == transport.identity:
                return link
        link = Link(transport, self.id, self._team)
        self._links.append(link)
        try:
            await link.start()
        except BaseException:
            self._links.remove(link)
            await link.end()
            raise
        return link

    @property
    def _team(self) -> Crew:
        assert self._crew is not None
        return self._crew

    async def _start_at_last(self) -> None:
        """Start, however long the store is away."""
        attempt = 0
        while True:
            try:
                return await self.start()
            except TransportUnavailableError as error:
                if not attempt:
                    logger.warning("waiting for the store: %s", error)
                attempt += 1
            await asyncio.sleep(pause_s(attempt))

    async def _start_or_give_up(self, start: Coroutine[Any, Any, None]) -> None:
        """Start, unless told to stop first."""
        starting = asyncio.create_task(start)
        told = asyncio.create_task(self._stop_wanted.wait())
        try:
            await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting

    # --------------------------------------------------------------------------------------------------------- ending

    def _heed_signal(self, level: int) -> None:
        logger.info("told to stop%s", " by force" if level > 1 else "")
        self._take_nothing_new()
        if level > 1:
            self._ends_process = True
            self._forced.set()

    def _take_nothing_new(self) -> None:
        """At once: on a blocked event loop the next thing to happen might be another start."""
        self._stop_wanted.set()
        for link in self._links:
            link.close()

    async def _shut_down(self) -> None:
        running = sum(len(link.held()) for link in self._links)
        if running and not self._forced.is_set():
            logger.info("worker %s waits for the end of what it runs: %d", self.id, running)
        left = await end_jobs(self._links, self._team.executor, self._forced, self._patience_s)
        for job in left:
            logger.error("%s has not ended after it was stopped", job)
        if left and self._ends_process:
            # They are given back and the process ended by `exit_unless`; until then nobody else may start them.
            await asyncio.get_running_loop().create_future()
        await self._end_links()
        self._state = State.STOPPED
        self._has_stopped.set()
        logger.info("worker %s has stopped", self.id)

    async def _end_links(self) -> None:
        for link in self._links:
            await link.end()
        for name in self._queues:
            served_no_more(name)
        self._links.clear()
        self._team.executor.close()


class RedisWorker(Worker):
    """A worker on a registered Redis connection; takes every option of ``RedisTransport``.

    ::

        worker = RedisWorker("default", id="worker-1", key_prefix="myapp:jobs")

    Options that are left out are, for a queue that ``Queue.get`` declares, as declared there.
    """

    def __init__(
        self,
        connection: str = "default",
        *,
        id: str | None = None,
        concurrency: int | None = None,
        shutdown_timeout: int | float | timedelta | None = None,
        **options: Unpack[ConnectedOptions],
    ) -> None:
        super().__init__(id=id, concurrency=concurrency, shutdown_timeout=shutdown_timeout)
        check_options({**options, "connection": connection}, Scope.REDIS, "RedisWorker")
        self._source = Source(recipe=lambda: recipe_of_connection(connection), options=options)


class SqliteWorker(Worker):
    """A worker on one SQLite file; takes every option of ``SqliteTransport``."""

    def __init__(
        self,
        path: str | os.PathLike[str] = DEFAULT_PATH,
        *,
        id: str | None = None,
        concurrency: int | None = None,
        shutdown_timeout: int | float | timedelta | None = None,
        **options: Unpack[TransportOptions],
    ) -> None:
        super().__init__(id=id, concurrency=concurrency, shutdown_timeout=shutdown_timeout)
        where = os.fspath(path)
        check_options({**options, "path": where}, Scope.SQLITE, "SqliteWorker")
        self._source = Source(recipe=lambda: recipe_of_path(where), options=options)
