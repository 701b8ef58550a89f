"""The transport on Redis Streams: each verb of ``heracles.transport.Transport`` goes to the part that does it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Unpack

from heracles.batching import MOST_CALLS, overlapped
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
    Storing,
    Swept,
    WorkerInfo,
)
from heracles.options import OPTIONS, Scope, StoreSettings, check_options
from heracles.redis.adoption import Adoption
from heracles.redis.cleaning import Cleaning
from heracles.redis.confirmation import Confirmation
from heracles.redis.control import Control
from heracles.redis.entries import enqueue_arguments, text_of
from heracles.redis.listener import RedisListener
from heracles.redis.reading import Reading
from heracles.redis.silence import leaving_silent
from heracles.redis.store import Store
from heracles.redis.upkeep import Upkeep
from heracles.redis.walking import chunks_of_bytes
from heracles.redis.working import Working
from heracles.transport import Listener
from heracles.transport_options import RedisOptions


class RedisTransport:
    """Queues in Redis 6.2 or newer, or Valkey: one server, one with Sentinels, or a Cluster.

    ``connection`` names what ``Redis.register_connection`` or the environment registered. All options are checked here;
    nothing is connected to before the first call.

    Raises:
        OptionError: an option is unknown or its value is not allowed.
    """

    def __init__(self, **options: Unpack[RedisOptions]) -> None:
        checked = check_options(options, Scope.REDIS, "RedisTransport")

        def given(name: str) -> Any:
            return checked.get(name, OPTIONS[name].default)

        self._options = checked
        self._settings = StoreSettings.of(checked)
        self._store = Store(given("connection"), given("key_prefix"), given("consumer_group"), self._settings)
        self._adoption = Adoption(self._store, self._cancel_all)
        self._control = Control(self._store, self._adoption)
        self._upkeep = Upkeep(self._store)
        self._working = Working(self._store, self._adoption, self._upkeep.repair_soon, given("consumer_name"))
        self._reading = Reading(self._store)
        self._cleaning = Cleaning(self._store, self._control, self._reading)
        self._known_queues: set[str] = set()

    def __repr__(self) -> str:
        return f"<RedisTransport on {self.identity}>"

    @property
    def options(self) -> Mapping[str, Any]:
        """The options that it was given, checked."""
        return self._options

    @property
    def settings(self) -> StoreSettings:
        """As ``Transport.settings``."""
        return self._settings

    @property
    def identity(self) -> str:
        """As ``Transport.identity``."""
        return self._store.identity

    @property
    def overlaps_calls(self) -> bool:
        """As ``Transport.overlaps_calls``. Confirmed calls have connections of their own: a second could overtake."""
        return self._settings.durability == "memory"

    @property
    def waits_for_jobs(self) -> bool:
        """As ``Transport.waits_for_jobs``."""
        return self._working.can_wait

    async def open(self) -> None:
        """As ``Transport.open``."""
        await self._store.open()

    async def close(self) -> None:
        """As ``Transport.close``."""
        await self._adoption.stop()
        await self._upkeep.stop()
        await self._store.close()

    # ------------------------------------------------------------------------------------------------- producers

    async def enqueue(self, queue: str, envelopes: Sequence[Envelope]) -> Sequence[Stored]:
        """As ``Transport.enqueue``."""
        if queue not in self._known_queues:
            await self._make_known(queue)
        confirmation = Confirmation(self._store)
        if len(envelopes) == 1:
            found = await self._enqueue(queue, envelopes, confirmation)
            confirmation.check("the jobs are stored")
            return found
        parts = list(chunks_of_bytes(envelopes, lambda envelope: len(envelope.args) + len(envelope.kwargs)))
        # A part is made while the server works on the one before.
        most = MOST_CALLS if self.overlaps_calls else 1
        found = await overlapped(lambda part: self._enqueue(queue, part, confirmation), parts, most=most)
        confirmation.check("the jobs are stored")
        return found

    async def _make_known(self, queue: str) -> None:
        """The queue is listed, before it has jobs."""
        await self._store.command(self._store.keys.queues, "SADD", self._store.keys.queues, queue)
        self._known_queues.add(queue)

    async def _enqueue(self, queue: str, envelopes: Sequence[Envelope], confirmation: Confirmation) -> Sequence[Stored]:
        arguments = enqueue_arguments(envelopes)
        is_new, letters, firsts = await confirmation.run("enqueue", queue, *arguments)
        if is_new:
            # Also when somebody has emptied the store since it was made known.
            await self._make_known(queue)
        if letters == b"s" * len(envelopes):
            return [
                Stored(storing=Storing.STORED, job_id=envelope.job_id, dispatch_id=envelope.dispatch_id)
                for envelope in envelopes
            ]
        known = iter(firsts)
        return [_stored(envelope, letter, known) for envelope, letter in zip(envelopes, text_of(letters), strict=True)]

    # --------------------------------------------------------------------------------------------------- workers

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
        """As ``Transport.exchange``."""
        return await self._working.exchange(
            queue, session, reports, slots, suspects=suspects, pause_on_error=pause_on_error, wait_ms=wait_ms
        )

    async def end_wait(self, queue: str, session: Session) -> None:
        """As ``Transport.end_wait``."""
        await self._working.end_wait(queue, session)

    async def recover(self, queue: str, session: Session, held: Sequence[Held]) -> Sequence[Delivery]:
        """As ``Transport.recover``."""
        return await self._working.recover(queue, session, held)

    async def beat(self, session: Session, queues: Sequence[str], status: str, held: Sequence[Held]) -> Beaten:
        """As ``Transport.beat``."""
        with leaving_silent(await self._store.servers(), self._settings.lease_ms):
            return await self._working.beat(session, queues, status, held)

    async def retire(self, session: Session, queues: Sequence[str]) -> None:
        """As ``Transport.retire``."""
        await self._working.retire(session, queues)

    def listen(self, session: Session, queues: Sequence[str]) -> Listener:
        """As ``Transport.listen``."""
        return RedisListener(self._store, session, queues, self._control.cancel_foreign, self._adoption.cancel_all)

    async def maintain(self, queue: str) -> Swept:
        """As ``Transport.maintain``."""
        return await self._upkeep.maintain(queue)

    # --------------------------------------------------------------------------------------------------- control

    async def gate(self, queue: str, *, paused: bool | None = None, draining: bool | None = None) -> Gates:
        """As ``Transport.gate``."""
        return await self._control.gate(queue, paused, draining)

    async def cancel(self, queue: str, ids: Sequence[str]) -> Sequence[bool]:
        """As ``Transport.cancel``."""
        return await self._control.cancel(queue, ids)

    async def clear(self, queue: str, *, running: bool = False) -> int:
        """As ``Transport.clear``."""
        return await self._control.clear(queue, running)

    async def _cancel_all(self, queue: str, until_ms: int) -> int:
        # Another program asked for it, and waits for no answer.
        return await self._control.empty(queue, True, Confirmation(self._store, is_wanted=False), until_ms)

    async def cleanup(self, queue: str, rules: CleanupRules) -> Swept:
        """As ``Transport.cleanup``."""
        return await self._cleaning.cleanup(queue, rules)

    # --------------------------------------------------------------------------------------------------- reading

    async def find(self, queue: str, id: str) -> Record | None:
        """As ``Transport.find``."""
        return await self._reading.find(queue, id)

    async def page(self, queue: str, status: JobStatus | None, limit: int) -> Sequence[Record]:
        """As ``Transport.page``."""
        return await self._reading.page(queue, status, limit)

    async def overview(self, queue: str) -> Overview:
        """As ``Transport.overview``."""
        return await self._reading.overview(queue)

    async def changes(self, queue: str, cursor: str | None, timeout_ms: int) -> Changes:
        """As ``Transport.changes``."""
        return await self._reading.changes(queue, cursor, timeout_ms)

    async def queues(self) -> Sequence[str]:
        """As ``Transport.queues``."""
        return await self._reading.queues()

    async def workers(self) -> Sequence[WorkerInfo]:
        """As ``Transport.workers``."""
        return await self._reading.workers()


_STORING = {"s": Storing.STORED, "d": Storing.DRAINING, "k": Storing.EXISTING}


def _stored(envelope: Envelope, letter: str, known: Iterator[bytes]) -> Stored:
    job_id = text_of(next(known)) if letter == "k" else envelope.job_id
    return Stored(storing=_STORING[letter], job_id=job_id, dispatch_id=envelope.dispatch_id)
