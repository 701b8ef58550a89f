"""One queue in a worker: takes deliveries in, has them run, collects their reports, knows when to ask the store."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from heracles.errors import UnknownJobError
from heracles.job import find_job
from heracles.model import Delivery, Report, ReportKind, Verdict
from heracles.worker.executor import Executor
from heracles.worker.finisher import decide
from heracles.worker.held import HeldJob, HeldJobs
from heracles.worker.outcome import GivenBack, Outcome, Unknown
from heracles.worker.plan import QueueSettings
from heracles.worker.slots import Slots, Suspects

logger = logging.getLogger("heracles.worker")


class Pending(msgspec.Struct, frozen=True):
    """A report that the store has yet to answer."""

    job: HeldJob
    report: Report


class Crew(NamedTuple):
    """What all lanes of a worker share."""

    executor: Executor
    slots: Slots
    suspects: Suspects


class Lane:
    """Without a lock: everything happens on the worker's event loop."""

    def __init__(
        self,
        queue: str,
        settings: QueueSettings,
        max_result_bytes: int,
        held: HeldJobs,
        crew: Crew,
        can_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        self.queue = queue
        self.settings = settings
        self.suspects = crew.suspects
        self._max_result_bytes = max_result_bytes
        self._held = held
        self._executor = crew.executor
        self._slots = crew.slots
        self._can_wait = can_wait
        #: A call that waits in the store for jobs is under way.
        self.is_waiting = False
        self._loop = asyncio.get_running_loop()
        self._changed: Callable[[], None] = _nothing
        self._reports: list[Pending] = []
        self._count = 0
        #: By the loop's clock: when to look for jobs at the latest.
        self._look_at = 0.0
        self._is_closed = False
        self._gives_back = False
        #: When it was told of each name that is not known here, by the loop's clock.
        self._unknown_told: dict[str, float] = {}
        self._slots.add(queue, settings.concurrency, self._wake)

    # ------------------------------------------------------------------------------------------ when to ask the store

    def watch(self, changed: Callable[[], None]) -> None:
        """``changed`` is called whenever there may be a reason to ask, or all may be done."""
        self._changed = changed

    def _wake(self) -> None:
        self._changed()

    def has_reason(self, now: float) -> bool:
        """Whether there is something to report, or a reason to look and a slot free; by the loop's clock."""
        return bool(self._reports) or self._should_look(now)

    @property
    def next_look(self) -> float:
        """When to look at the latest, by the loop's clock; infinite where there is nothing to wait for."""
        return math.inf if self._is_closed else self._look_at

    def look(self) -> None:
        """There may be jobs: ask for them as soon as a slot is free."""
        self._look_at = 0.0
        self._changed()

    def look_within(self, seconds: float) -> None:
        """Ask for jobs after that time at the latest."""
        self._look_at = min(self._look_at, self._loop.time() + seconds)

    def reconsider(self) -> None:
        """Something has changed on which it depends what to ask."""
        self._changed()

    @property
    def waits(self) -> bool:
        """Whether it hears of jobs by a call that waits for them in the store, for which it keeps its free slots: where
        no other queue could need them, and the store knows how."""
        return not self._is_closed and self._slots.serve_one_queue and self._can_wait()

    @property
    def takes_jobs(self) -> bool:
        """Whether it could begin another job now."""
        return self.is_waiting or self._slots.has_room(self.queue)

    def _should_look(self, now: float) -> bool:
        wants = not self._is_closed and self._look_at <= now
        self._slots.want(self.queue, wants)
        return wants and self._slots.share(self.queue) > 0

    # -------------------------------------------------------------------------------------------------- to the store

    def take_reports(self, most: int | None = None) -> Sequence[Pending]:
        """What waits to be reported, the oldest first; the caller puts back what could not be."""
        if most is None or len(self._reports) <= most:
            reports, self._reports = self._reports, []
        else:
            reports, self._reports = self._reports[:most], self._reports[most:]
        return reports

    def put_back(self, reports: Sequence[Pending]) -> None:
        """They have to be reported again, before all others."""
        self._reports[:0] = reports

    def put_last(self, report: Pending) -> None:
        """It has to be reported again, after all others."""
        self._reports.append(report)

    @property
    def reports(self) -> int:
        """How many wait to be reported."""
        return len(self._reports)

    def take_slots(self, most: int | None = None) -> int:
        """For how many jobs to ask now; unless there are more, what was a reason to look is none any more."""
        if self._is_closed:
            return 0
        count = self._slots.take(self.queue, most)
        if count and count != most:
            self._look_at = math.inf
        return count

    def take_slots_to_wait(self) -> int:
        """For how many jobs to wait; the time to look stays."""
        return self._slots.take(self.queue) if self.waits else 0

    def return_slots(self, count: int) -> None:
        """So many were taken for jobs that did not come."""
        self._slots.give_back(self.queue, count)

    def settle(self, pending: Pending, verdict: Verdict) -> None:
        """The store has answered."""
        job = pending.job
        if pending.report.still_running:
            job.is_lost = job.is_lost or verdict is Verdict.LOST
            self._go_on(job)
            return
        if verdict is Verdict.LOST:
            logger.warning("%s was no longer this worker's when it ended: nothing of it was stored", job)
        self._let_go(job)

    def give_up(self, pending: Pending) -> None:
        """The store did not take it."""
        if pending.report.still_running:
            self._go_on(pending.job)
            return
        logger.error("%s could not be reported within its lease: it will run again", pending.job)
        self._let_go(pending.job)

    def _go_on(self, job: HeldJob) -> None:
        """Its first report is settled: the second one may follow."""
        job.is_settling = False
        if job.report is not None and not job.report.still_running:
            self._reports.append(Pending(job, job.report))
            self._changed()

    def _let_go(self, job: HeldJob) -> None:
        self._held.remove(job)
        self._count -= 1
        self._changed()

    # ----------------------------------------------------------------------------------------------- from the store

    def begin(self, delivery: Delivery, lease_until: float) -> None:
        """Hold what the store has started, in a slot that was taken for it, and run it."""
        if self._gives_back:
            self.return_unstarted(delivery, lease_until)
            return
        try:
            definition = find_job(delivery.envelope.name)
        except UnknownJobError:
            self._tell_unknown(delivery)
            self._refuse(self._hold(delivery, None, lease_until), Unknown())
            return
        job = self._hold(delivery, definition.options, lease_until)
        if delivery.deliveries > 1:
            logger.warning(
                "%s runs again: the worker that ran it died or was cut off (start %d in a row without a report)",
                job,
                delivery.deliveries,
                extra=_ids(delivery, self.queue),
            )
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s starts", job, extra=_ids(delivery, self.queue))
        self._executor.start(job, definition, self._max_result_bytes, self._finish)

    def _tell_unknown(self, delivery: Delivery) -> None:
        name, now = delivery.envelope.name, self._loop.time()
        if now >= self._unknown_told.get(name, -math.inf) + TOLD_AGAIN_S:
            if len(self._unknown_told) >= MOST_NAMES_TOLD:
                self._unknown_told.clear()
            self._unknown_told[name] = now
            logger.warning(
                "%s %s is not registered in this worker, and goes back to its queue, as all of that name do for now: "
                "import its module in the app",
                name,
                delivery.envelope.dispatch_id,
                extra=_ids(delivery, self.queue),
            )

    def return_unstarted(self, delivery: Delivery, lease_until: float) -> None:
        """Hold what the store has started only until it has taken it back."""
        self._refuse(self._hold(delivery, None, lease_until), GivenBack(begun=False))

    def _hold(self, delivery: Delivery, options: Mapping[str, Any] | None, lease_until: float) -> HeldJob:
        plan = self.settings.unknown if options is None else self.settings.plan(delivery.envelope, options)
        job = HeldJob(self.queue, delivery, plan, lease_until)
        self._held.add(job)
        self._count += 1
        if job.is_suspect:
            self.suspects.begin()
        return job

    def _refuse(self, job: HeldJob, outcome: Outcome) -> None:
        job.ended = True
        self._finish(job, outcome)

    def _finish(self, job: HeldJob, outcome: Outcome) -> None:
        report = job.report = decide(outcome, job.delivery, job.plan)
        # Several calls may be under way at once: of one job's two reports the second waits for the first's answer.
        if not job.is_settling:
            job.is_settling = report.still_running
            self._reports.append(Pending(job, report))
            self._changed()
        _log(job, report)
        if not report.still_running:
            if job.is_suspect:
                self.suspects.end()
            self._slots.give_back(self.queue)

    # --------------------------------------------------------------------------------------------------------- ending

    def close(self) -> None:
        """Ask for nothing new."""
        self._is_closed = True
        self._slots.close(self.queue)
        self._changed()

    def give_back(self) -> None:
        """What still comes goes back unstarted."""
        self._gives_back = True
        self.close()

    @property
    def is_closed(self) -> bool:
        """Whether it asks for nothing new."""
        return self._is_closed

    @property
    def is_done(self) -> bool:
        """Whether it is closed and holds nothing."""
        return self._is_closed and not self._count


def _nothing() -> None:
    """Nobody watches yet."""


#: Seconds between two warnings of jobs of one name that are not known here: there may be a million of them.
TOLD_AGAIN_S = 60.0
#: Names of which it is known when they were told: anybody may write entries.
MOST_NAMES_TOLD = 1000

_LEVELS = {ReportKind.FAILED: logging.ERROR, ReportKind.RETRY: logging.WARNING}
_WORDS = {
    ReportKind.COMPLETED: "completed",
    ReportKind.FAILED: "failed for good",
    ReportKind.RETRY: "failed, to be retried",
    ReportKind.UNKNOWN: "is not registered in this worker, goes back to its queue",
    ReportKind.RETURNED: "was stopped, goes back to its queue",
    ReportKind.UNSTARTED: "goes back to its queue unstarted",
    ReportKind.RELEASED: "has ended after its fate was settled",
}


def _log(job: HeldJob, report: Report) -> None:
    level = logging.DEBUG if report.kind is ReportKind.COMPLETED else _LEVELS.get(report.kind, logging.DEBUG)
    if logger.isEnabledFor(level):
        why = f": {report.error}" if report.error else ""
        arguments = (job, _WORDS[report.kind], why)
        ids = _ids(job.delivery, job.queue)
        record = logger.makeRecord(logger.name, level, __file__, 0, "%s %s%s", arguments, None, "_log", ids)
        # What formatters show below the line of an exception, which is long gone here.
        record.exc_text = report.traceback
        logger.handle(record)


def _ids(delivery: Delivery, queue: str) -> dict[str, str]:
    envelope = delivery.envelope
    return {
        "job_id": envelope.job_id,
        "dispatch_id": envelope.dispatch_id,
        "queue_name": queue,
        "job_name": envelope.name,
    }
