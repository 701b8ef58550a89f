"""The exchange with the store, for one queue: reports go, started jobs come."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from heracles.errors import TransportError, TransportUnavailableError
from heracles.model import Delivery, Exchange, Session, Value
from heracles.transport import Transport
from heracles.worker.health import StoreHealth, pause_s
from heracles.worker.held import HeldJobs
from heracles.worker.lane import Lane, Pending

logger = logging.getLogger("heracles.worker")

#: Seconds to wait when the store says that jobs are ready and yet starts none: no busy loop whatever its reason.
NOTHING_STARTED_PAUSE_S = 0.02

#: Calls under way at once, of one lane.
MOST_CALLS = 2
#: Reports in one call, at most half of a queue's concurrency, so that there is something to do for two. Measured with
#: 100 jobs at once that do nothing: 32 a call cost 10 % more CPU on Redis than 50, and 25 % more on SQLite. Larger ones
#: gain little, and of jobs that end together the last waits longer for its successor.
LARGEST_CALL = 64

#: The longest time in s that a call waits in the store for jobs, and the part of a lease: it counts from the call on.
LONGEST_WAIT_S, WAIT_OF_LEASE = 2.0, 0.25
#: Seconds that the end of such a wait may be late in the store.
LATE_S = 0.5

#: Seconds for which a worker that is to end asks a store that is away whether it has started something.
LAST_PATIENCE_S = 2.0


class _Asked(Value, frozen=True, kw_only=True):
    """For what the store was asked, and when."""

    slots: int
    suspects: bool
    sent_at: float
    """By time.monotonic(), before the call: leases are counted from here."""
    wait_s: float = 0.0
    """How long the store may wait for jobs before it does what it is asked."""

    def and_also(self, other: "_Asked") -> "_Asked":
        """Both at once."""
        return _Asked(
            slots=self.slots + other.slots,
            suspects=self.suspects or other.suspects,
            sent_at=min(self.sent_at, other.sent_at),
        )


class Fetcher:
    """Up to two calls at a time: the store works on one while the worker runs what the other one has brought.

    What comes while both are under way goes with the next one, so that batches grow with the load. Each report and each
    slot is in one call alone, and the store applies a call as a whole, so their order does not matter; see
    docs/decisions/two-exchanges.md. A call that failed is made again, when no other one is under way.

    When there is nothing to do, a further call waits in the store for jobs, with the slots that are free: see
    docs/decisions/waiting-exchange.md.
    """

    def __init__(
        self,
        lane: Lane,
        transport: Transport,
        session: Session,
        held: HeldJobs,
        health: StoreHealth,
        has_asked: Callable[[str], None],
    ) -> None:
        self._lane = lane
        self._transport = transport
        self._session = session
        self._held = held
        self._health = health
        self._has_asked = has_asked
        self._loop = asyncio.get_running_loop()
        self._lease_s = transport.settings.lease_ms / 1000
        self._poll_s = transport.settings.poll_interval_ms / 1000
        self._most = min((lane.settings.concurrency + 1) // 2, LARGEST_CALL)
        self._calls: set[asyncio.Task[None]] = set()
        #: The call that waits for jobs, and whether it was told to wait no longer.
        self._waiting: asyncio.Task[None] | None = None
        self._is_hurried = False
        self._hurrying: set[asyncio.Task[None]] = set()
        self._doubting: asyncio.TimerHandle | None = None
        self._is_nudged = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._is_done = asyncio.Event()
        self._has_ended = False
        self._failures = 0
        self._failed_closed_at: float | None = None
        #: The store has refused some reports. Which ones shows when each goes by itself, in turn with asking for jobs,
        #: so that all else goes on.
        self._is_one_by_one = False
        self._is_turn_of_report = False
        #: A call that failed may have started jobs all the same: they have to be asked for before anything else.
        self._unsure: _Asked | None = None

    async def run(self) -> None:
        """Until the lane is closed and done."""
        self._lane.watch(self._nudge)
        self._nudge()
        try:
            await self._is_done.wait()
        finally:
            self._has_ended = True
            self._stop_timer()
            if self._doubting is not None:
                self._doubting.cancel()
            calls = (*self._calls, *self._hurrying, *(() if self._waiting is None else (self._waiting,)))
            for call in calls:
                call.cancel()
            if calls:
                await asyncio.wait(calls)

    # ---------------------------------------------------------------------------------------------------- when to call

    def _nudge(self) -> None:
        """Something has changed. Looked at after all that is ready now, which may bring more for the same call."""
        if not self._is_nudged:
            self._is_nudged = True
            self._loop.call_soon(self._consider)

    def _consider(self) -> None:
        self._is_nudged = False
        if self._has_ended:
            return
        now = self._loop.time()
        while self._may_call(now):
            # What it takes is taken at once: the next one is to find what is left.
            if self._unsure is not None:
                call = self._make(self._recover, self._unsure)
            else:
                call = self._make(self._ask, *self._next_call())
            self._calls.add(self._loop.create_task(call))
        if self._waiting is not None:
            self._hurry_if_needed(now)
        elif not self._calls and not self._wait_for_jobs():
            # Whatever has come between: never without a reason to ask again.
            self._look_after_poll_interval()
        if self._lane.is_done and self._unsure is None and not self._calls and self._waiting is None:
            self._is_done.set()
        self._set_timer(now)

    def _may_call(self, now: float) -> bool:
        if not self._calls:
            if self._unsure is not None:
                # What waits may be about to start jobs too, which would then be begun twice.
                return self._waiting is None
            return self._lane.has_reason(now)
        return self._is_worth_another(now)

    def _is_worth_another(self, now: float) -> bool:
        """Whether to make a call beside the one under way. Not while something is wrong: then it is one at a time."""
        return (
            len(self._calls) < MOST_CALLS
            and self._unsure is None
            and not self._failures
            and not self._is_one_by_one
            and self._lane.has_reason(now)
        )

    # ------------------------------------------------------------------------------------------------ waiting for jobs

    def _wait_for_jobs(self) -> bool:
        """There is nothing to do: let the store answer as soon as there is, if it can."""
        if self._unsure is not None or self._failures or self._is_one_by_one:
            return False
        slots = self._lane.take_slots_to_wait()
        if slots:
            wait_s = min(self._poll_s * random.uniform(0.9, 1.0), LONGEST_WAIT_S, self._lease_s * WAIT_OF_LEASE)
            asked = self._asked(slots, wait_s)
            self._is_hurried, self._lane.is_waiting = False, True
            self._waiting = self._loop.create_task(self._make(self._ask, (), asked))
        return slots > 0

    def _hurry_if_needed(self, now: float) -> None:
        """The call that waits has the slots for what else would be a reason to ask."""
        is_needed = self._unsure is not None or not self._lane.waits or self._lane.next_look <= now
        if is_needed and not self._is_hurried:
            self._is_hurried = True
            task = self._loop.create_task(self._hurry())
            self._hurrying.add(task)
            task.add_done_callback(self._hurrying.discard)

    async def _hurry(self) -> None:
        try:
            await self._transport.end_wait(self._lane.queue, self._session)
        except TransportError as error:
            logger.debug("queue %s: jobs are waited for a little longer: %s", self._lane.queue, error)

    def _doubt(self) -> None:
        """A wait whose answer was lost is over in the store, which may have started jobs until now."""
        if self._unsure is None:
            self._unsure = _Asked(slots=0, suspects=False, sent_at=time.monotonic())
        self._nudge()

    def _set_timer(self, now: float) -> None:
        """So that it is considered again when it is time to look. One that fires too early does no harm."""
        at = self._lane.next_look
        if now < at < self._timer_at:
            self._stop_timer()
            self._timer, self._timer_at = self._loop.call_at(at, self._time_to_look), at

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, math.inf

    def _time_to_look(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._nudge()

    # ---------------------------------------------------------------------------------------------------------- a call

    async def _make(self, call: Callable[..., Awaitable[None]], *args: object) -> None:
        try:
            await call(*args)
            self._has_asked(self._lane.queue)
        except TransportError as error:
            await self._failed(error)
        except Exception as error:  # the lane has to survive; a transport should raise nothing else
            logger.exception("unexpected error in the exchange of queue %s", self._lane.queue)
            await self._failed(error)
        # Not where it was cancelled: then `run` is ending.
        if _this_task() is self._waiting:
            self._waiting = None
        else:
            self._calls.remove(_this_task())
        self._nudge()

    async def _ask(self, reports: Sequence[Pending], asked: _Asked) -> None:
        if not reports and not asked.slots:
            return
        try:
            answer = await self._exchange(reports, asked)
        except BaseException as error:
            self._lane.is_waiting &= not asked.wait_s
            if asked.slots:
                self._unsure = asked if self._unsure is None else self._unsure.and_also(asked)
            if asked.wait_s:
                over_at = asked.sent_at + asked.wait_s + LATE_S
                self._doubting = self._loop.call_later(max(over_at - time.monotonic(), 0), self._doubt)
            self._keep(reports, is_refused=not isinstance(error, TransportUnavailableError | asyncio.CancelledError))
            raise
        self._lane.is_waiting &= not asked.wait_s
        self._answered()
        for pending, verdict in zip(reports, answer.verdicts, strict=True):
            self._lane.settle(pending, verdict)
        if asked.slots:
            self._begin(answer.started, asked)
            self._plan_next_look(answer)

    def _next_call(self) -> tuple[Sequence[Pending], _Asked]:
        if self._is_one_by_one:
            self._is_turn_of_report = not self._is_turn_of_report
            if self._is_turn_of_report:
                return self._lane.take_reports(1), _Asked(slots=0, suspects=False, sent_at=time.monotonic())
            return (), self._take()
        reports = self._lane.take_reports(self._most)
        # What is left goes with another call, and so do the slots that it leaves free.
        return reports, self._take(self._most if self._lane.reports else None)

    async def _exchange(self, reports: Sequence[Pending], asked: _Asked) -> Exchange:
        return await self._transport.exchange(
            self._lane.queue,
            self._session,
            [pending.report for pending in reports],
            asked.slots,
            suspects=asked.suspects,
            pause_on_error=self._lane.settings.pause_on_error,
            wait_ms=round(asked.wait_s * 1000),
        )

    def _take(self, most: int | None = None) -> _Asked:
        return self._asked(self._lane.take_slots(most))

    def _asked(self, slots: int, wait_s: float = 0.0) -> _Asked:
        suspects = slots > 0 and self._lane.suspects.ask()
        return _Asked(slots=slots, suspects=suspects, sent_at=time.monotonic(), wait_s=wait_s)

    def _begin(self, started: Sequence[Delivery], asked: _Asked) -> None:
        """Run what came, and give back the slots that were taken for more."""
        lease_until = asked.sent_at + self._lease_s
        is_late = time.monotonic() > asked.sent_at + self._lease_s / 2
        for delivery in started:
            if is_late:
                # Too little is left of the lease to begin with, if it has not been reclaimed (this process may have
                # been frozen while the answer was on its way): started anew it gets a whole one.
                self._lane.return_unstarted(delivery, lease_until)
            else:
                self._lane.begin(delivery, lease_until)
        if asked.suspects:
            self._lane.suspects.answered()
        self._lane.return_slots(asked.slots - len(started))

    def _plan_next_look(self, answer: Exchange) -> None:
        if not self._lane.waits:
            self._look_after_poll_interval()
        if answer.next_due_ms is None or answer.paused:
            return
        if answer.next_due_ms > 0 or answer.started:
            self._lane.look_within(answer.next_due_ms / 1000)
        else:
            self._lane.look_within(NOTHING_STARTED_PAUSE_S)

    def _look_after_poll_interval(self) -> None:
        self._lane.look_within(self._poll_s * random.uniform(0.9, 1.0))

    async def _recover(self, asked: _Asked) -> None:
        """Get what calls whose answers were lost had started."""
        held = [job.named() for job in self._held.all() if job.queue == self._lane.queue]
        try:
            async with asyncio.timeout(LAST_PATIENCE_S if self._lane.is_closed else None):
                started = await self._transport.recover(self._lane.queue, self._session, held)
        except TimeoutError as error:
            raise TransportUnavailableError("no answer while the worker was to end") from error
        self._unsure = None
        self._begin(started, asked)
        self._lane.look()

    def _answered(self) -> None:
        self._failures = 0
        self._is_one_by_one &= self._lane.reports > 0
        self._health.answered(self._lane.queue)

    async def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._health.failed(self._lane.queue, error)
        if self._lane.is_closed:
            self._let_go()
        await asyncio.sleep(pause_s(self._failures))

    def _keep(self, reports: Sequence[Pending], *, is_refused: bool) -> None:
        """Reports that were not answered are made again: after an outage however long, for nobody else may have
        reclaimed the job; where the store refuses it, for as long as a lease."""
        # Also a single one: what was asked for beside it must not be refused with it again.
        self._is_one_by_one |= is_refused
        if not is_refused or len(reports) != 1:
            self._lane.put_back(reports)
            return
        [report] = reports
        now = time.monotonic()
        if report.job.refused_since is None:
            report.job.refused_since = now
        if now < report.job.refused_since + self._lease_s:
            self._lane.put_last(report)
        else:
            self._lane.give_up(report)

    def _let_go(self) -> None:
        """The worker wants to end: it makes its reports again no longer than their jobs' leases."""
        now = time.monotonic()
        reports = self._lane.take_reports()
        self._lane.put_back([pending for pending in reports if pending.job.lease_until > now])
        for pending in reports:
            if pending.job.lease_until <= now:
                self._lane.give_up(pending)
        if self._unsure is not None:
            self._give_up_asking(self._unsure, now)

    def _give_up_asking(self, asked: _Asked, now: float) -> None:
        """The worker wants to end: what was started without its knowledge, if anything, is left to its lease."""
        if self._failed_closed_at is None:
            self._failed_closed_at = now
        if now > self._failed_closed_at + LAST_PATIENCE_S:
            self._begin((), asked)
            self._unsure = None


def _this_task() -> "asyncio.Task[None]":
    task = asyncio.current_task()
    assert task is not None
    return task
