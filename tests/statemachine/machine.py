"""Random interleavings of everything that producers, workers and operators do to one queue."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heracles.model import Delivery, JobStatus, Report, ReportKind, Storing, Verdict
from heracles.transport import Transport
from tests.conformance.driver import LATER_MS, Driver, envelope, next_ms, report_on, session
from tests.statemachine.model import Job, Model

T = TypeVar("T")
_queues = itertools.count(1)

JOB_IDS = st.sampled_from(["a", "b", "c"])
PRIORITIES = st.sampled_from([0, 10, 50])
DELAYS_MS = st.sampled_from([0, 0, LATER_MS])
NUMBERS = st.integers(0, 1000)
ENDINGS = st.sampled_from([kind for kind in ReportKind if kind is not ReportKind.RELEASED])


class QueueMachine(RuleBasedStateMachine):
    """Two workers on a queue of its own.

    ``let_expire`` makes the leases that ``brief`` gave run out; what it is given renews all others.
    """

    def __init__(
        self,
        runner: asyncio.Runner,
        lasting: Transport,
        brief: Transport,
        let_expire: Callable[[Callable[[], None]], None],
    ) -> None:
        super().__init__()
        self.runner = runner
        self.queue = Driver(lasting, f"queue-{next(_queues)}")
        self.brief = Driver(brief, self.queue.queue)
        self.let_expire = let_expire
        self.model = Model()
        self.held: dict[str, Delivery] = {}
        self.stale: list[Delivery] = []
        self.applied: list[Report] = []
        self.ends: dict[str, int | None] = {}

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """One call of the transport."""
        return self.runner.run(coroutine)

    @initialize()
    def remember_where_it_began(self) -> None:
        self.cursor = self.run(self.queue.cursor())

    # ---- producers

    @rule(job_id=JOB_IDS, priority=PRIORITIES, no_overlap=st.booleans(), delay_ms=DELAYS_MS, from_job=st.booleans())
    def dispatch(self, job_id: str, priority: int, no_overlap: bool, delay_ms: int, from_job: bool) -> None:
        made = envelope(
            job_id=job_id,
            dispatch_id=f"d-{len(self.model.jobs)}",
            priority=priority,
            no_overlap=no_overlap,
            delay_ms=delay_ms or None,
            from_job=from_job,
        )
        (answer,) = self.run(self.queue.transport.enqueue(self.queue.queue, [made]))
        if self.model.draining and not from_job:
            assert answer.storing is Storing.DRAINING
            return
        assert answer.storing is Storing.STORED
        self.model.dispatch(job_id, made.dispatch_id, priority=priority, no_overlap=no_overlap, ready=delay_ms == 0)

    @precondition(lambda self: self.model.jobs)
    @rule(number=NUMBERS)
    def dispatch_again(self, number: int) -> None:
        job = self._any_job(number)
        made = envelope(job_id="other", dispatch_id=job.dispatch_id)
        (answer,) = self.run(self.queue.transport.enqueue(self.queue.queue, [made]))
        assert (answer.storing, answer.job_id) == (Storing.EXISTING, job.job_id)

    # ---- workers

    @rule(slots=st.integers(1, 4), worker=st.sampled_from(["worker-1", "worker-2"]))
    def start(self, slots: int, worker: str) -> None:
        self._take(self.queue, slots, worker)

    def _take(self, driver: Driver, slots: int, worker: str) -> list[Delivery]:
        exchanged = self.run(driver.exchange(slots=slots, by=session(worker)))
        assert exchanged.paused == self.model.paused
        self._reclaim()
        for delivery in exchanged.started:
            self.model.start(delivery)
            self.held[delivery.envelope.dispatch_id] = delivery
        assert len(exchanged.started) == slots or not self.model.has_more, "there was more to start"
        return list(exchanged.started)

    def _reclaim(self) -> None:
        # A paused queue may leave dead workers' jobs as they are until it is resumed.
        expired = [job for job in self.model.jobs.values() if job.is_expired]
        if self.model.paused and expired:
            statuses = {self.run(self.queue.status(job.dispatch_id)) for job in expired}
            if JobStatus.RUNNING in statuses:
                return
        for job in expired:
            self.stale.append(self.held.pop(job.dispatch_id))
        self.model.reclaim()

    @rule()
    def start_and_die(self) -> None:
        # The lease of what it starts is over when the next step begins.
        for delivery in self._take(self.brief, 1, "doomed"):
            if delivery.deliveries > 1:
                # A third delivery would be a suspect's, which has rules of its own.
                self.run(self.queue.beat(delivery))
                continue
            self.model.jobs[delivery.envelope.dispatch_id].is_expired = True
            self.let_expire(self._renew)

    def _renew(self) -> None:
        alive = [each for name, each in self.held.items() if not self.model.jobs[name].is_expired]
        assert self.run(self.queue.beat(*alive)).lost == ()

    @precondition(lambda self: self.held)
    @rule(number=NUMBERS, kind=ENDINGS, delay_ms=DELAYS_MS, still_running=st.booleans())
    def report(self, number: int, kind: ReportKind, delay_ms: int, still_running: bool) -> None:
        delivery = self._any_held(number)
        job = self.model.jobs[delivery.envelope.dispatch_id]
        if job.status in (JobStatus.FAILED, JobStatus.SCHEDULED_FOR_RETRY):
            kind = ReportKind.RELEASED
        # Whether such a report renews a lease that is over is the store's to choose.
        still_running = still_running and kind in (ReportKind.FAILED, ReportKind.RETRY) and not job.is_expired
        delay_ms = delay_ms if kind in (ReportKind.RETRY, ReportKind.UNKNOWN) else 0
        # Within a millisecond, the order of what becomes due and of what is dispatched is open.
        self._next_ms()
        self._send(report_on(delivery, kind, delay_ms=delay_ms, still_running=still_running, error="Boom: x"))
        self._next_ms()

    def _next_ms(self) -> None:
        self.run(next_ms())

    @precondition(lambda self: self.held)
    @rule(number=NUMBERS)
    def complete_and_start(self, number: int) -> None:
        delivery = self._any_held(number)
        if self.model.jobs[delivery.envelope.dispatch_id].status is JobStatus.RUNNING:
            self._send(report_on(delivery, ReportKind.COMPLETED, result=b"1"))
            self._take(self.queue, 1, "worker-1")

    def _send(self, report: Report) -> None:
        (verdict,) = self.run(self.queue.exchange([report])).verdicts
        assert verdict in self.model.report(report)
        if not self.model.jobs[report.dispatch_id].is_busy:
            self.stale.append(self.held.pop(report.dispatch_id))
        if verdict is Verdict.APPLIED:
            self.applied.append(report)

    @precondition(lambda self: self.applied)
    @rule(number=NUMBERS)
    def repeat(self, number: int) -> None:
        report = self.applied[number % len(self.applied)]
        job = self.model.jobs[report.dispatch_id]
        was_last = all(each.dispatch_id != job.dispatch_id for each in self.applied[number % len(self.applied) + 1 :])
        is_current = report.token == job.token and was_last and job.status is not JobStatus.CANCELLED
        (verdict,) = self.run(self.queue.exchange([report])).verdicts
        if is_current and job.status is not JobStatus.RUNNING:
            assert verdict is Verdict.APPLIED, f"a repeated {report.kind} of {job} is {verdict}"

    @precondition(lambda self: self.stale)
    @rule(number=NUMBERS, kind=st.sampled_from(ReportKind))
    def report_too_late(self, number: int, kind: ReportKind) -> None:
        delivery = self.stale[number % len(self.stale)]
        job = self.model.jobs[delivery.envelope.dispatch_id]
        if delivery.token == job.token:
            return
        (verdict,) = self.run(self.queue.exchange([report_on(delivery, kind, error="Late: x")])).verdicts
        repeats = any((each.token, each.kind) == (delivery.token, kind) for each in self._applied_to(job))
        assert verdict is not Verdict.APPLIED or repeats

    def _applied_to(self, job: Job) -> list[Report]:
        return [report for report in self.applied if report.dispatch_id == job.dispatch_id]

    @rule()
    def beat(self) -> None:
        alive = {name: each for name, each in self.held.items() if not self.model.jobs[name].is_expired}
        beaten = self.run(self.queue.beat(*alive.values(), *self.stale[-3:]))
        cancelled = {name for name in alive if self.model.jobs[name].status is JobStatus.CANCELLED}
        assert {
            held.dispatch_id for held in beaten.cancelled if held.token == self._token(held.dispatch_id)
        } >= cancelled
        assert not {(held.dispatch_id, held.token) for held in beaten.lost} & {
            (name, each.token) for name, each in alive.items()
        }

    def _token(self, name: str) -> int:
        return self.model.jobs[name].token

    @rule()
    def keep_up(self) -> None:
        self.run(self.queue.transport.maintain(self.queue.queue))
        # It may reclaim, and need not.
        expired = [job for job in self.model.jobs.values() if job.is_expired and job.status is JobStatus.RUNNING]
        statuses = {self.run(self.queue.status(job.dispatch_id)) for job in expired}
        if JobStatus.PENDING in statuses:
            self._reclaim()

    # ---- operators

    @precondition(lambda self: self.model.jobs)
    @rule(number=NUMBERS)
    def cancel_a_dispatch(self, number: int) -> None:
        self._cancel(self._any_job(number).dispatch_id)

    @rule(job_id=JOB_IDS)
    def cancel_a_job(self, job_id: str) -> None:
        self._cancel(job_id)

    def _cancel(self, name: str) -> None:
        was_unfinished = any(
            name in (job.job_id, job.dispatch_id) and not job.status.is_final for job in self.model.jobs.values()
        )
        [answer] = self.run(self.queue.cancel(name))
        # What it answers about jobs that ended CANCELLED before is the store's to choose.
        assert answer or not was_unfinished
        was_cancelled = any(
            name in (job.job_id, job.dispatch_id) and job.status is JobStatus.CANCELLED
            for job in self.model.jobs.values()
        )
        assert self.model.cancel(name) == answer or was_cancelled

    @rule()
    def clear(self) -> None:
        assert self.run(self.queue.transport.clear(self.queue.queue)) == self.model.clear()

    @rule(paused=st.booleans())
    def pause_or_resume(self, paused: bool) -> None:
        gates = self.run(self.queue.transport.gate(self.queue.queue, paused=paused))
        self.model.paused = paused
        assert (gates.paused, gates.draining) == (paused, self.model.draining)

    @rule(draining=st.booleans())
    def drain_or_reopen(self, draining: bool) -> None:
        gates = self.run(self.queue.transport.gate(self.queue.queue, draining=draining))
        if not (draining and self.model.paused):
            self.model.draining = draining
        assert (gates.paused, gates.draining) == (self.model.paused, self.model.draining)

    # ---- what holds after every step

    @invariant()
    def counts_are_exact(self) -> None:
        overview = self.run(self.queue.transport.overview(self.queue.queue))
        assert dict(overview.counts) == self.model.counts()

    @invariant()
    def every_dispatch_is_found_as_it_has_to_be(self) -> None:
        page = self.run(self.queue.transport.page(self.queue.queue, None, 1000))
        found = {record.dispatch_id: (record.job_id, record.status, record.retries) for record in page}
        assert found == {name: (job.job_id, job.status, job.retries) for name, job in self.model.jobs.items()}
        for record in page:
            if record.status.is_final:
                assert self.ends.setdefault(record.dispatch_id, record.completed_at_ms) == record.completed_at_ms

    @invariant()
    def no_two_of_a_job_id_overlap(self) -> None:
        self.model.check_locks()

    def teardown(self) -> None:
        walks: dict[str, list[JobStatus | None]] = {name: [] for name in self.model.jobs}
        for change in self.run(self.queue.changes(self.cursor)):
            walks[change.dispatch_id].append(change.status)
        assert walks == {name: job.walk for name, job in self.model.jobs.items()}

    # ---- choosing

    def _any_job(self, number: int) -> Job:
        return list(self.model.jobs.values())[number % len(self.model.jobs)]

    def _any_held(self, number: int) -> Delivery:
        return list(self.held.values())[number % len(self.held)]
