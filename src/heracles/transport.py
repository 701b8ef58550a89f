"""What a store has to do for queues and workers. One conformance suite tests these sentences on every transport.

A transport is a light object: its constructor checks options and connects to nothing. It may be used from several
threads and event loops, at once or one after the other; what belongs to a loop (connections) it keeps for each loop.

Rules that hold for every verb:

- A plural argument gets one answer an item, in order; batches of any length, split inside so that the store never
  blocks for more than a few milliseconds. Never all-or-nothing, except where said.
- The store's clock decides what is due and which lease has ended.
- Every call is bounded in time and raises ``TransportUnavailableError`` when the store is away, and ``TransportError``
  when it refuses. After either, nothing or all of one item was done; repeating a call is harmless.
- A call that is cancelled leaves its connection usable, and has happened or not.
- Status changes happen in one atomic step of the store together with everything that belongs to them: counts, locks,
  events, indexes. A final status never changes.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

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
    Signal,
    Stored,
    Swept,
    WorkerInfo,
)
from heracles.options import StoreSettings


class Listener(Protocol):
    """Hints for one worker. They may be false, late or missing: whoever waits looks for itself now and then."""

    async def wait(self, timeout_ms: int) -> Sequence[Signal]:
        """The hints that came since the last call; waits for one up to the time given, else returns none.

        Survives outages of its store by itself: then it just waits.
        """
        ...

    def want(self, queues: Collection[str], waiting: Collection[str] = ()) -> None:
        """The queues whose WORK hints are wanted from now on; at first all are. ``waiting``: those whose ``exchange``
        waits for jobs by itself.

        A WORK hint for another one is handed on to a listener that may want it, so that a worker that is busy keeps
        no job from one that is free. CANCEL hints come in any case. Called often, never waits.
        """
        ...

    async def close(self) -> None:
        """Stop listening; safe twice. A ``wait`` under way returns."""
        ...


class Transport(Protocol):
    """The verbs. ``queue`` is always a checked queue name, ids are checked ids."""

    @property
    def settings(self) -> StoreSettings:
        """The options that queues and workers go by."""
        ...

    @property
    def identity(self) -> str:
        """Which store this is, for people and for comparing: URL or path, and key prefix. Never a password."""
        ...

    @property
    def overlaps_calls(self) -> bool:
        """Whether a second call is worth making before the first is answered: they are carried out elsewhere meanwhile,
        in the order in which they were made."""
        ...

    @property
    def waits_for_jobs(self) -> bool:
        """Whether ``exchange`` can wait in the store for jobs. May become False, where a permission lacks for it."""
        ...

    async def open(self) -> None:
        """Reach the store and check that it can serve; warns once of an unsafe set-up. Safe to call again.

        Raises:
            TransportUnavailableError: the store cannot be reached.
            TransportError: it is too old, refuses the password, lacks a permission, or is no store of ours.
            ConfigurationError: the connection's name or URL cannot be used.
        """
        ...

    async def close(self) -> None:
        """Let go of what belongs to the running event loop; safe twice, and the transport can be used again after."""
        ...

    # ------------------------------------------------------------------------------------------------- producers

    async def enqueue(self, queue: str, envelopes: Sequence[Envelope]) -> Sequence[Stored]:
        """Store each as PENDING unless its dispatch id is known (whatever its job id) or the queue drains.

        A dispatch is ready at once, at ``scheduled_for_ms`` or after ``delay_ms``. Ready ones wait by priority, then
        in the order of becoming ready. A NO_OVERLAP dispatch whose job id has another one ready, waiting or running
        waits behind it, whatever the priorities; so does one within the overlap delay after an end.
        With durability ``replicated`` or ``fsync`` a shortfall raises TransportError after the jobs were stored.
        """
        ...

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
        """Apply the reports, then start up to ``slots`` ready jobs, in one step of the store where it can.

        ``wait_ms`` over 0, without reports and where ``waits_for_jobs``: the store does so when there may be jobs,
        after ``end_wait``, or after that time. Of several that wait few are answered for one job. Where the answer is
        lost, it may happen until that time has passed.

        With ``slots`` over 0 it first moves what has become due to the ready ones and reclaims what has outlived its
        lease. Starting a job checks pause, status and overlap lock, raises ``token`` and ``deliveries``, and sets
        RUNNING with a lease of ``settings.lease_ms``. A draining queue still starts jobs, a paused one none.

        Reclaimed: the token rises, so that a late report is LOST. An unfinished RUNNING job becomes PENDING and queues
        as of now (from its third delivery on after a growing pause), with ``retries`` as they were, keeping its
        overlap place; after ``settings.max_deliveries`` starts without a report it is FAILED instead, which with
        ``pause_on_error`` pauses the queue. A late report that is LOST lowers ``deliveries`` by one: its worker lives.
        A cancelled or timed-out job whose code still ran is released instead, as by ``ReportKind.RELEASED``.

        ``suspects`` False: starts no job whose ``deliveries`` would become 3 or more; such a one is set aside for a
        second. True: one of them at most. So a job that keeps killing its worker takes no innocent one with it.

        Repeating a report that was applied answers APPLIED again and changes nothing. A RETRY or RETURNED wakes a
        listener when it is ready.
        """
        ...

    async def end_wait(self, queue: str, session: Session) -> None:
        """Have an ``exchange`` of that session that waits, or the next one that would, done at once."""
        ...

    async def recover(self, queue: str, session: Session, held: Sequence[Held]) -> Sequence[Delivery]:
        """What an ``exchange`` whose answer was lost had started for this session: all that it holds beyond ``held``.

        The deliveries come under the tokens they were started with.
        """
        ...

    async def beat(self, session: Session, queues: Sequence[str], status: str, held: Sequence[Held]) -> Beaten:
        """Renew the worker's record (60 s) and the lease and lock of each held job whose token is current.

        Names those that are lost (reclaimed, or gone) and those that have been cancelled; the latter are renewed too,
        until they are reported RELEASED. Called from a thread with an event loop of its own.
        """
        ...

    async def retire(self, session: Session, queues: Sequence[str]) -> None:
        """The worker stopped: remove its record and its place in each queue. Holds it jobs still, they are reclaimed
        when their leases end. Wakes another worker for what is ready."""
        ...

    def listen(self, session: Session, queues: Sequence[str]) -> Listener:
        """Hints about work in, and cancelled jobs of, these queues. Of several listeners few are woken by one job."""
        ...

    async def maintain(self, queue: str) -> Swept:
        """One pass of upkeep: entries over ``completed_job_retention`` and ``max_stream_size``, records over their TTL,
        indexes without a record, and what no regular path finds any more (RUNNING without a lease, lost groups)."""
        ...

    # --------------------------------------------------------------------------------------------------- control

    async def gate(self, queue: str, *, paused: bool | None = None, draining: bool | None = None) -> Gates:
        """Set what is not None and return what holds now. ``draining=True`` on a paused queue changes nothing: the
        answer then has ``draining`` False. With durability, a shortfall raises TransportError
        after it was done, as from ``enqueue``; so from ``cancel`` and ``clear``.
        """
        ...

    async def cancel(self, queue: str, ids: Sequence[str]) -> Sequence[bool]:
        """By dispatch id, or job id (every unfinished dispatch of it): True where at least one ends CANCELLED.

        Waiting: never starts. Running: CANCELLED at once, the worker is told; lease and lock stay until it reports
        RELEASED or its lease ends. The arguments of a cancelled job are kept as long as its record.
        """
        ...

    async def clear(self, queue: str, *, running: bool = False) -> int:
        """Cancel all that had not started when called (with ``running``: all unfinished), in batches; how many."""
        ...

    async def cleanup(self, queue: str, rules: CleanupRules) -> Swept:
        """What ``heracles cleanup`` does to one queue. Unfinished jobs are touched by ``everything`` alone."""
        ...

    # --------------------------------------------------------------------------------------------------- reading

    async def find(self, queue: str, id: str) -> Record | None:
        """By dispatch id, or the latest dispatch of a job id; with envelope, result and traceback."""
        ...

    async def page(self, queue: str, status: JobStatus | None, limit: int) -> Sequence[Record]:
        """Newest first by creation: all unfinished, and of each final status the newest 1000; ``limit`` at most."""
        ...

    async def overview(self, queue: str) -> Overview:
        """The queue's numbers and gates; zeros for a queue never used."""
        ...

    async def changes(self, queue: str, cursor: str | None, timeout_ms: int) -> Changes:
        """The status changes after the cursor, waiting for one up to the time given.

        ``None``: returns at once, with the cursor of now. Of changes older than the last 10,000 one Change with
        ``status`` None tells. A store that was emptied counts as such a gap.
        """
        ...

    async def queues(self) -> Sequence[str]:
        """The names of all queues of this store, sorted."""
        ...

    async def workers(self) -> Sequence[WorkerInfo]:
        """The live workers of this store, by id."""
        ...
