"""Random interleavings of everything that producers, workers and operators do to one queue."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heracles.model import CleanupRules, Delivery, Envelope, JobStatus, Report, ReportKind, Storing, Verdict
from heracles.transport import Transport
from tests.conformance.driver import LATER_MS, Driver, envelope, next_ms, report_on, session
from tests.statemachine.model import Job, Model

T = TypeVar("T")
_queues = itertools.count(1)

JOB_IDS = st.sampled_from(["a", "b", "c"])
PRIORITIES = st.sampled_from([0, 10, 50])
#: A delay after which a job is ready when the next step begins.
SOON_MS = 1
DELAYS_MS = st.sampled_from([0, 0, SOON_MS, LATER_MS])
WORKERS = st.sampled_from(["worker-1", "worker-2"])
NUMBERS = st.integers(0, 1000)
#: For what ends or stops much at once: most of the time it is left out, so that the rest gets somewhere.
RARELY = st.integers(0, 5).map(lambda number: number == 0)
ENDINGS = st.sampled_from([kind for kind in ReportKind if kind is not ReportKind.RELEASED])


@dataclass(frozen=True)
class Wish:
    """What is to be dispatched."""

    job_id: str
    priority: int
    no_overlap: bool
    delay_ms: int
    from_job: bool

    def envelope(self, dispatch_id: str) -> Envelope:
        """Under that dispatch id."""
        return envelope(**asdict(self) | {"delay_ms": self.delay_ms or None, "dispatch_id": dispatch_id})


WISHES = st.builds(
    Wish, job_id=JOB_IDS, priority=PRIORITIES, no_overlap=st.booleans(), delay_ms=DELAYS_MS, from_job=st.booleans()
)


OVERLAP_DELAYS_MS = st.sampled_from([*[0] * 6, SOON_MS, LATER_MS])
#: Of which job, what it says, after which delay it is ready again, whether its code still runs, and the overlap delay.
Word = tuple[int, ReportKind, int, bool, int]
WORDS = st.lists(st.tuples(NUMBERS, ENDINGS, DELAYS_MS, st.booleans(), OVERLAP_DELAYS_MS), min_size=1, max_size=4)


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
        self.numbers = itertools.count()
        self.sessions = {name: session(name) for name in ("worker-1", "worker-2", "doomed")}
        self.held: dict[str, Delivery] = {}
        self.holders: dict[str, str] = {}
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

    @rule(wishes=st.lists(WISHES, min_size=1, max_size=5))
    def dispatch(self, wishes: list[Wish]) -> None:
        batch = [wish.envelope(f"d-{next(self.numbers)}") for wish in wishes]
        answers = self.run(self.queue.transport.enqueue(self.queue.queue, batch))
        self._next_ms()
        stored = []
        for made, answer in zip(batch, answers, strict=True):
            is_refused = self.model.draining and not made.from_job
            assert answer.storing is (Storing.DRAINING if is_refused else Storing.STORED)
            stored += [] if is_refused else [made]
        # What is due soon is ready after what is ready at once.
        for made in sorted(stored, key=lambda made: made.delay_ms or 0):
            self.model.dispatch(made, ready=made.delay_ms != LATER_MS)

    @precondition(lambda self: self.model.jobs)
    @rule(number=NUMBERS)
    def dispatch_again(self, number: int) -> None:
        job = self._any_job(number)
        made = envelope(job_id="other", dispatch_id=job.dispatch_id)
        (answer,) = self.run(self.queue.transport.enqueue(self.queue.queue, [made]))
        assert (answer.storing, answer.job_id) == (Storing.EXISTING, job.job_id)

    # ---- workers

    @rule(slots=st.integers(1, 4), worker=WORKERS)
    def start(self, slots: int, worker: str) -> None:
        self._take(self.queue, slots, worker)

    def _take(self, driver: Driver, slots: int, worker: str) -> list[Delivery]:
        exchanged = self.run(driver.exchange(slots=slots, by=self.sessions[worker]))
        assert exchanged.paused == self.model.paused
        self._reclaim()
        for delivery in exchanged.started:
            self.model.start(delivery)
            self.held[delivery.envelope.dispatch_id] = delivery
            self.holders[delivery.envelope.dispatch_id] = worker
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
        assert self.run(self.queue.beat(*self._alive().values())).lost == ()

    @precondition(lambda self: self.held)
    @rule(words=WORDS)
    def report(self, words: list[Word]) -> None:
        reports = {}
        for word in words:
            delivery = self._any_held(word[0])
            reports[delivery.envelope.dispatch_id] = self._report(delivery, *word[1:])
        self._next_ms()
        self._send(list(reports.values()))
        self._next_ms()

    def _report(
        self, delivery: Delivery, kind: ReportKind, delay_ms: int, still_running: bool, overlap_delay_ms: int
    ) -> Report:
        job = self.model.jobs[delivery.envelope.dispatch_id]
        if job.status in (JobStatus.FAILED, JobStatus.SCHEDULED_FOR_RETRY):
            kind = ReportKind.RELEASED
        # Whether such a report renews a lease that is over is the store's to choose.
        still_running = still_running and kind in (ReportKind.FAILED, ReportKind.RETRY) and not job.is_expired
        # Whether an unknown one that waits holds up the others of its line is the store's to choose.
        waits = kind is ReportKind.RETRY or (kind is ReportKind.UNKNOWN and not job.no_overlap)
        delay_ms = delay_ms if waits else 0
        # A retry frees its lock without a delay.
        ends = kind in (ReportKind.COMPLETED, ReportKind.FAILED, ReportKind.RELEASED)
        overlap_delay_ms = overlap_delay_ms if ends and job.status is not JobStatus.SCHEDULED_FOR_RETRY else 0
        return report_on(
            delivery,
            kind,
            delay_ms=delay_ms,
            still_running=still_running,
            overlap_delay_ms=overlap_delay_ms,
            error="Boom: x",
        )

    def _next_ms(self) -> None:
        # Within a millisecond, the order of what becomes due and of what is dispatched is open.
        for _ in range(SOON_MS + 1):
            self.run(next_ms())

    @rule(slots=st.integers(1, 4), words=WORDS)
    def start_and_report(self, slots: int, words: list[Word]) -> None:
        self._take(self.queue, slots, "worker-1")
        if self.held:
            self.report(words)

    def _send(self, reports: list[Report]) -> None:
        verdicts = self.run(self.queue.exchange(reports)).verdicts
        self.model.begin_at_once()
        for report, verdict in zip(reports, verdicts, strict=True):
            assert verdict in self.model.report(report), f"{report}: {verdict}"
            if not self.model.jobs[report.dispatch_id].is_busy:
                self.stale.append(self.held.pop(report.dispatch_id))
            if verdict is Verdict.APPLIED:
                self.applied.append(report)
        self.model.end_at_once()

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

    @rule(what=st.sampled_from(["beat", "maintain", "recover"]), worker=WORKERS)
    def look_after(self, what: str, worker: str) -> None:
        match what:
            case "beat":
                self._beat()
            case "maintain":
                self._maintain()
            case _:
                self._recover(worker)

    def _beat(self) -> None:
        alive = self._alive()
        beaten = self.run(self.queue.beat(*alive.values(), *self.stale[-3:]))
        named = {(held.dispatch_id, held.token) for held in beaten.cancelled}
        lost = {(held.dispatch_id, held.token) for held in beaten.lost}
        for name, delivery in alive.items():
            assert (name, delivery.token) not in lost
            if self.model.jobs[name].status is JobStatus.CANCELLED:
                assert (name, delivery.token) in named

    def _alive(self) -> dict[str, Delivery]:
        return {name: each for name, each in self.held.items() if not self.model.jobs[name].is_expired}

    def _maintain(self) -> None:
        self.run(self.queue.transport.maintain(self.queue.queue))
        # It may reclaim, and need not.
        expired = [job for job in self.model.jobs.values() if job.is_expired and job.status is JobStatus.RUNNING]
        statuses = {self.run(self.queue.status(job.dispatch_id)) for job in expired}
        if JobStatus.PENDING in statuses:
            self._reclaim()

    def _recover(self, worker: str) -> None:
        own = {name: each for name, each in self.held.items() if self.holders[name] == worker}
        # As if the answer that told of those that run had been lost.
        lost = {name for name in own if self.model.jobs[name].status is JobStatus.RUNNING}
        held = [self.queue.held(each) for name, each in own.items() if name not in lost]
        recovered = self.run(self.queue.transport.recover(self.queue.queue, self.sessions[worker], held))
        tokens = {each.envelope.dispatch_id: each.token for each in recovered}
        assert tokens == {name: own[name].token for name in lost}

    # ---- operators

    @precondition(lambda self: self.model.jobs)
    @rule(what=st.sampled_from(["dispatch", "dispatch", "job", "clear"]), number=NUMBERS, rarely=RARELY)
    def cancel(self, what: str, number: int, rarely: bool) -> None:
        job = self._any_job(number)
        if what == "dispatch":
            self._cancel(job.dispatch_id)
        elif what == "job":
            self._cancel(job.job_id)
        elif rarely:
            assert self.run(self.queue.transport.clear(self.queue.queue)) == self.model.clear()

    def _cancel(self, name: str) -> None:
        named = [job for job in self.model.jobs.values() if name in (job.job_id, job.dispatch_id)]
        was_cancelled = any(job.status is JobStatus.CANCELLED for job in named)
        [answer] = self.run(self.queue.cancel(name))
        # What it answers about jobs that ended CANCELLED before is the store's to choose.
        assert self.model.cancel(name) == answer or (answer and was_cancelled)

    @rule(gate=st.sampled_from(["paused", "draining"]), closes=RARELY)
    def turn_a_gate(self, gate: str, closes: bool) -> None:
        gates = self.run(self.queue.transport.gate(self.queue.queue, **{gate: closes}))
        if gate == "paused":
            self.model.paused = closes
        elif not (closes and self.model.paused):
            self.model.draining = closes
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
        self.run(self.queue.transport.cleanup(self.queue.queue, CleanupRules(everything=True)))

    # ---- choosing

    def _any_job(self, number: int) -> Job:
        return list(self.model.jobs.values())[number % len(self.model.jobs)]

    def _any_held(self, number: int) -> Delivery:
        return list(self.held.values())[number % len(self.held)]
