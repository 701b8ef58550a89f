"""RQ.

https://python-rq.org/docs/workers/: ``SimpleWorker`` runs jobs in its own process instead of forking for each; it
runs one at a time. https://python-rq.org/docs/results/: ``result_ttl=0`` keeps no results. Scheduled jobs need a
scheduler process besides, so they are not measured.
"""

from collections.abc import Sequence

from redis import Redis
from rq import Queue, Retry  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks import jobs
from benchmarks.role import Role
from benchmarks.systems import SyncProducer, become


class Producer(SyncProducer):
    def __init__(self, role: Role) -> None:
        self._queue = Queue("bench", connection=Redis.from_url(role.url))
        # A job that died with its worker is only run again where it has retries; it is found abandoned one minute after
        # its time-out.
        recovery = {"retry": Retry(max=3), "job_timeout": role.recovery_s}
        self._options = recovery if role.recovery_s else {"result_ttl": 0}

    def dispatch(self, job: str, argument: str) -> None:
        self._queue.enqueue(jobs.FUNCTIONS[job], argument, **self._options)

    def dispatch_many(self, job: str, arguments: Sequence[str]) -> None:
        body = jobs.FUNCTIONS[job]
        self._queue.enqueue_many([Queue.prepare_data(body, (argument,), **self._options) for argument in arguments])

    def dispatch_later(self, job: str, argument: str, delay_s: float) -> None:
        raise NotImplementedError("RQ schedules in a process of its own")


def producer(role: Role) -> Producer:
    return Producer(role)


def work(role: Role) -> None:
    recovery = (
        [f"--maintenance-interval={role.recovery_s}", f"--job-monitoring-interval={role.recovery_s}"]
        if role.recovery_s
        else []
    )
    become("rq", "worker", "bench", f"--url={role.url}", "--worker-class=rq.SimpleWorker", "--quiet", *recovery)
