"""What one queue has to do, as plain Python: the model that the state machine compares a store with.

Time does not pass in it: what waits is either ready or due in an hour, and a lease is over or is not. Where the order
is the store's to choose, a place is an interval.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from heracles.model import Delivery, Envelope, JobStatus, Report, ReportKind, Verdict

ANY_TIME_LATER = 1 << 60
#: Delays below it are over when the next step begins.
ANY_HOUR_MS = 3_600_000
WAITING = frozenset({JobStatus.PENDING, JobStatus.SCHEDULED_FOR_RETRY})


@dataclass(frozen=True)
class Place:
    """When something became ready, as precisely as it is known."""

    first: int
    last: int

    def is_before(self, other: "Place") -> bool:
        """Whether it surely is."""
        return self.last < other.first


@dataclass
class Job:
    """One dispatch as it has to be."""

    job_id: str
    dispatch_id: str
    priority: int
    no_overlap: bool
    place: Place
    line: Place
    """Among the NO_OVERLAP ones of its job id."""
    is_ready: bool
    status: JobStatus = JobStatus.PENDING
    retries: int = 0
    token: int = 0
    is_busy: bool = False
    """Its code may run: it holds its lock."""
    is_expired: bool = False
    """Its lease is over, which the store notices at the next claim."""
    ready_when_released: bool = False
    walk: list[JobStatus] = field(default_factory=lambda: [JobStatus.PENDING])

    def turn(self, status: JobStatus) -> None:
        """A status change."""
        assert not self.status.is_final, f"{self.dispatch_id} is {self.status}, which is final"
        self.status = status
        self.walk.append(status)


class Model:
    """The whole queue."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.paused = False
        self.draining = False
        self._cooling: set[str] = set()
        """The job ids whose next NO_OVERLAP run has to wait for an overlap delay."""
        self._clock = 0
        self._is_at_once = False

    def _now(self) -> Place:
        self._clock += 0 if self._is_at_once else 1
        return Place(self._clock, self._clock)

    def begin_at_once(self) -> None:
        """From now on everything happens at one time."""
        self._now()
        self._is_at_once = True

    def end_at_once(self) -> None:
        """Time passes again."""
        self._is_at_once = False

    # ---- verbs

    def dispatch(self, made: Envelope, *, ready: bool) -> None:
        """A new one, stored."""
        now = self._now()
        job = Job(made.job_id, made.dispatch_id, made.priority, made.no_overlap, place=now, line=now, is_ready=ready)
        self.jobs[made.dispatch_id] = job
        if not self.is_startable(job):
            job.place = self._open_end(job, now)

    def start(self, delivery: Delivery) -> None:
        """The store has started this one: was it its turn?"""
        job = self.jobs[delivery.envelope.dispatch_id]
        assert not self.paused, f"{job} started although the queue is paused"
        assert self.is_startable(job), f"{job} started although it is not its turn"
        for other in self.startable():
            if not self._is_surely_startable(other) or self._share_a_line(job, other):
                continue
            assert other.priority >= job.priority, f"{job} started before {other}"
            if other.priority == job.priority:
                assert not other.place.is_before(job.place), f"{job} started before {other}"
        assert delivery.token > job.token, f"{job} started with the token {delivery.token}"
        assert delivery.retries == job.retries, f"{job} started with {delivery.retries} retries"
        job.token = delivery.token
        job.is_busy, job.is_ready = True, False
        job.turn(JobStatus.RUNNING)

    def reclaim(self) -> None:
        """A claim notices the leases that are over."""
        for job in self.jobs.values():
            if job.is_expired:
                job.is_expired = job.is_busy = False
                if job.status is JobStatus.RUNNING:
                    job.turn(JobStatus.PENDING)
                    job.is_ready, job.place = True, self._open_end(job, self._now())
                job.is_ready = job.is_ready or job.ready_when_released
                job.ready_when_released = False

    def report(self, report: Report) -> set[Verdict]:
        """Apply a report under the current token of a busy job; the verdicts that are right."""
        job = self.jobs[report.dispatch_id]
        if job.no_overlap and report.overlap_delay_ms >= ANY_HOUR_MS and not report.still_running:
            self._cooling.add(job.job_id)
        if job.status is JobStatus.CANCELLED:
            self._release(job, report)
            return {Verdict.CANCELLED, Verdict.APPLIED} if report.kind is ReportKind.RELEASED else {Verdict.CANCELLED}
        if report.kind is ReportKind.RELEASED:
            self._release(job, report)
            return {Verdict.APPLIED}
        self._apply(job, report)
        return {Verdict.APPLIED}

    def _release(self, job: Job, report: Report) -> None:
        if not report.still_running:
            job.is_busy = job.is_expired = False
            if job.ready_when_released:
                job.ready_when_released, job.is_ready = False, True
                job.line = Place(job.place.first, self._now().last)
                job.place = self._open_end(job, job.line)

    def _apply(self, job: Job, report: Report) -> None:
        now, old = self._now(), job.place
        job.is_busy = report.still_running
        job.is_expired = job.is_expired and report.still_running
        is_ready = report.delay_ms < ANY_HOUR_MS
        match report.kind:
            case ReportKind.COMPLETED:
                job.turn(JobStatus.COMPLETED)
            case ReportKind.FAILED:
                job.turn(JobStatus.FAILED)
            case ReportKind.RETRY:
                job.turn(JobStatus.SCHEDULED_FOR_RETRY)
                job.retries += 1
                job.place = job.line = now
                job.is_ready = is_ready and not report.still_running
                job.ready_when_released = is_ready and report.still_running
            case ReportKind.UNSTARTED:
                job.turn(JobStatus.PENDING)
                job.is_ready, job.place = True, old
            case ReportKind.RETURNED | ReportKind.UNKNOWN:
                job.turn(JobStatus.PENDING)
                job.is_ready = is_ready or report.kind is ReportKind.RETURNED
                # Whether it stands at the end of its line or where it stood is the store's to choose.
                job.place, job.line = now, Place(job.line.first, now.last)
            case ReportKind.RELEASED:
                raise AssertionError("taken above")
        job.place = self._open_end(job, job.place)

    @staticmethod
    def _open_end(job: Job, place: Place) -> Place:
        # What stands in a line may count as ready since then, or since its lock came free.
        return Place(place.first, ANY_TIME_LATER) if job.no_overlap else place

    def cancel(self, name: str) -> bool:
        """By either id."""
        named = [job for job in self.jobs.values() if name in (job.job_id, job.dispatch_id)]
        unfinished = [job for job in named if not job.status.is_final]
        for job in unfinished:
            self._cancel(job)
        return bool(unfinished)

    def clear(self) -> int:
        """All that has not started."""
        waiting = [job for job in self.jobs.values() if job.status in WAITING]
        for job in waiting:
            self._cancel(job)
        return len(waiting)

    def _cancel(self, job: Job) -> None:
        job.turn(JobStatus.CANCELLED)
        job.is_ready = job.ready_when_released = False

    # ---- what holds

    def is_startable(self, job: Job) -> bool:
        """Whether it may start now, as far as its status and its lock go."""
        if job.status not in WAITING or not job.is_ready or job.is_busy:
            return False
        if not job.no_overlap:
            return True
        is_free = job.job_id not in self._cooling
        return is_free and not any(self._stands_before(other, job) for other in self._line(job))

    def _line(self, job: Job) -> Iterable[Job]:
        return (
            other
            for other in self.jobs.values()
            if other.no_overlap and other.job_id == job.job_id and other is not job
        )

    @staticmethod
    def _stands_before(other: Job, job: Job) -> bool:
        return other.is_busy or (other.status in WAITING and other.is_ready and other.line.is_before(job.line))

    def _is_surely_startable(self, job: Job) -> bool:
        """Whether it is the first of its line in whatever order the store has chosen."""
        return not job.no_overlap or not any(
            other.status in WAITING and other.is_ready and not job.line.is_before(other.line)
            for other in self._line(job)
        )

    @staticmethod
    def _share_a_line(job: Job, other: Job) -> bool:
        return other is job or (job.no_overlap and other.no_overlap and job.job_id == other.job_id)

    def startable(self) -> list[Job]:
        """All that may start now; of lines whose order is the store's to choose there may be several."""
        return [job for job in self.jobs.values() if self.is_startable(job)]

    @property
    def has_more(self) -> bool:
        """Whether a claim with a free slot would have to start something."""
        return not self.paused and bool(self.startable())

    def counts(self) -> dict[JobStatus, int]:
        """By status, zeros included."""
        statuses = [job.status for job in self.jobs.values()]
        return {status: statuses.count(status) for status in JobStatus}

    def check_locks(self) -> None:
        """At most one NO_OVERLAP run of a job id."""
        busy = [job.job_id for job in self.jobs.values() if job.no_overlap and job.is_busy]
        assert len(busy) == len(set(busy)), f"overlapping runs: {busy}"
