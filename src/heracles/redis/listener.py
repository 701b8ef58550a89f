"""Hints for one worker: tokens that say that there is work, and messages about cancelled jobs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from heracles.errors import HeraclesError, OptionError, TransportUnavailableError
from heracles.model import Session, Signal, SignalKind
from heracles.options import check_id
from heracles.redis.entries import text_of
from heracles.redis.keys import ref_of
from heracles.redis.peeking import CancelAll, Peeking
from heracles.redis.refusals import Refusal, translate
from heracles.redis.store import Store
from heracles.redis.wire import LostError, Wire

logger = logging.getLogger("heracles.redis")

#: Seconds that one blocking command waits; below every socket's time-out.
BLOCK_S = 2.0
#: The most queues that one connection waits for. The server takes time for each of their keys when a wait begins and
#: when it ends, and so do we: with 1,000 on one connection a job started 1 ms later than with 100 on each of ten.
MOST_WATCHED = 100
#: The first and the longest pause before a lost connection is opened again.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
#: What stands in messages of ours, whose cancellation the store has done already.
OURS = "store"
#: The most hints kept for a worker that does not ask; they are only hints.
MOST_SIGNALS = 10_000

CancelForeign = Callable[[str, str], Awaitable[None]]


class RedisListener:
    """As ``heracles.transport.Listener``. Begins to listen at the first ``wait``."""

    def __init__(
        self,
        store: Store,
        session: Session,
        queues: Sequence[str],
        cancel_foreign: CancelForeign,
        cancel_all: CancelAll,
    ) -> None:
        self._store, self._queues, self._cancel_foreign = store, tuple(queues), cancel_foreign
        # In a cluster only keys of one queue can be waited for at once.
        most = 1 if store.endpoint.in_cluster else MOST_WATCHED
        groups = [self._queues[first : first + most] for first in range(0, len(self._queues), most)]
        self._watches = [TokenWatch(store, session, group, self._hear) for group in groups]
        self._peeking = Peeking(store, queues, cancel_all)
        self._signals: dict[Signal, None] = {}
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closed = False

    async def wait(self, timeout_ms: int) -> Sequence[Signal]:
        """As ``Listener.wait``."""
        if not self._tasks and not self._is_closed:
            self._begin()
        if not self._signals and not self._is_closed:
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._arrived.wait()
            except TimeoutError:
                return ()
        self._arrived.clear()
        found, self._signals = tuple(self._signals), {}
        return found

    def want(self, queues: Collection[str], waiting: Collection[str] = ()) -> None:
        """As ``Listener.want``."""
        self._peeking.want({*queues, *waiting} if waiting else queues)
        for watch in self._watches:
            watch.want(queues)

    async def close(self) -> None:
        """As ``Listener.close``."""
        self._is_closed = True
        self._arrived.set()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks += [loop.create_task(_for_ever(watch.run)) for watch in self._watches]
        if self._queues:
            self._tasks.append(loop.create_task(_for_ever(self._subscribe)))
            self._tasks.append(loop.create_task(self._peeking.run()))

    def _hear(self, signal: Signal) -> None:
        if len(self._signals) < MOST_SIGNALS:
            self._signals[signal] = None
        self._arrived.set()

    # ---------------------------------------------------------------------------------------------------- messages

    async def _subscribe(self) -> None:
        """Read cancellations until the connection is lost."""
        channels = {self._store.keys.control(queue): queue for queue in self._queues}
        servers = await self._store.servers()
        wire = await servers.open_wire(self._store.keys.of("meta", self._queues[0]))
        messages: asyncio.Queue[Any] = asyncio.Queue()
        wire.listen(messages.put_nowait)
        try:
            wire.tell(("SUBSCRIBE", *channels))
            await self._read_messages(wire, messages, channels)
        finally:
            wire.drop()

    async def _read_messages(self, wire: Wire, messages: "asyncio.Queue[Any]", channels: Mapping[str, str]) -> None:
        while True:
            try:
                async with asyncio.timeout(BLOCK_S):
                    message = await messages.get()
            except TimeoutError:
                # An answer within the next turn proves that the connection still stands.
                wire.tell(("PING",))
                async with asyncio.timeout(BLOCK_S * 2):
                    message = await messages.get()
            if message is None:
                raise LostError(f"{wire.where}: the connection for cancellations is lost")
            if isinstance(message, Refusal):
                raise translate(message, wire.where)
            if message[0] == b"message":
                await self._cancelled(channels[text_of(message[1])], message[2])

    async def _cancelled(self, queue: str, data: bytes) -> None:
        try:
            said = msgspec.json.decode(data)
            if said["type"] != "cancel":
                return
            job_id, dispatch_id = check_id(said["jobId"]), check_id(said["dispatchId"], "dispatch_id")
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, OptionError, RecursionError):
            logger.warning("queue %s: a message on its control channel is not understood", queue)
            return
        if said.get("by") != OURS:
            await self._cancel_foreign(queue, ref_of(job_id, dispatch_id))
        self._hear(Signal(kind=SignalKind.CANCEL, queue=queue, dispatch_id=dispatch_id))


class TokenWatch:
    """Waits for the tokens of some queues on a connection of its own.

    A token that a busy worker took would leave an idle one asleep, so only wanted queues are listened to. A key of its
    own ends the wait when a further queue is wanted.
    """

    def __init__(self, store: Store, session: Session, queues: Sequence[str], hear: Callable[[Signal], None]) -> None:
        self._store, self._queues, self._hear = store, tuple(queues), hear
        self._nudge = store.keys.of("nudge", queues[0], session.consumer)
        self._wanted = self._queues
        self._is_wanted = asyncio.Event()
        #: What the blocking command under way waits for.
        self._waits_for: tuple[str, ...] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def want(self, queues: Collection[str]) -> None:
        """Listen to these from now on."""
        self._wanted = tuple(queue for queue in self._queues if queue in queues)
        if self._wanted:
            self._is_wanted.set()
        if self._waits_for is not None and not set(self._wanted) <= set(self._waits_for):
            self._waits_for = self._wanted
            task = asyncio.get_running_loop().create_task(self._end_wait())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def run(self) -> None:
        """Until the connection is lost."""
        await self._until_wanted()
        # A plain command first: in a cluster it finds out where the slot is now.
        await self._store.command(self._nudge, "EXISTS", self._nudge)
        wire = await (await self._store.servers()).open_wire(self._nudge)
        try:
            # What came while nobody listened is found by looking.
            for queue in self._wanted:
                self._hear(Signal(kind=SignalKind.WORK, queue=queue))
            while True:
                await self._turn(wire)
        finally:
            wire.drop()

    async def _until_wanted(self) -> None:
        while not self._wanted:
            self._is_wanted.clear()
            await self._is_wanted.wait()

    async def _turn(self, wire: Wire) -> None:
        await self._until_wanted()
        keys = {self._store.keys.of("wake", queue): queue for queue in self._wanted}
        self._waits_for = self._wanted
        try:
            answer = await wire.send(("BLPOP", *keys, self._nudge, BLOCK_S), BLOCK_S)
        finally:
            self._waits_for = None
        if isinstance(answer, Refusal):
            raise translate(answer, wire.where)
        queue = keys.get(text_of(answer[0])) if answer else None
        if queue in self._wanted:
            self._hear(Signal(kind=SignalKind.WORK, queue=queue))
        elif queue is not None:
            # It was wanted when the wait began: the token is another worker's.
            await self._store.leave_token(self._store.keys.of("wake", queue))

    async def _end_wait(self) -> None:
        try:
            await self._store.leave_token(self._nudge)
        except HeraclesError as error:
            logger.debug("a wait goes on a little longer: %s", error)


async def _for_ever(listen: Callable[[], Awaitable[None]]) -> None:
    """Listen again after every loss."""
    pause_s, has_warned = FIRST_PAUSE_S, False
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await listen()
        except (TransportUnavailableError, TimeoutError) as error:
            # The worker's own calls tell of the outage.
            logger.debug("listening is interrupted: %s", error)
        except HeraclesError as error:
            if not has_warned:
                logger.warning("hints cannot be heard, so jobs and cancellations are found by looking: %s", error)
            has_warned = True
        if loop.time() - began > LONGEST_PAUSE_S:
            pause_s = FIRST_PAUSE_S
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
