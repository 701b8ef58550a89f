"""Celery on Redis.

https://docs.celeryq.dev/en/stable/userguide/optimizing.html: prefetch many, ignore results, no gossip, mingle and
heartbeat. https://docs.celeryq.dev/en/stable/userguide/concurrency/index.html: threads in one worker process.
In the recovery test ``acks_late`` and a visibility timeout, without which a task is gone once its worker has taken it.
"""

from celery import Celery  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks import jobs
from benchmarks.role import Role
from benchmarks.systems import SyncProducer, become

_role = Role.current()
app = Celery("bench", broker=_role.url)
app.conf.update(
    task_default_queue="bench",
    task_ignore_result=True,
    worker_prefetch_multiplier=1 if _role.recovery_s else 16,
    task_acks_late=bool(_role.recovery_s),
    task_reject_on_worker_lost=bool(_role.recovery_s),
    broker_transport_options={"visibility_timeout": _role.recovery_s or 3600},
    broker_connection_retry_on_startup=True,
    worker_enable_remote_control=False,
)
TASKS = {name: app.task(body, name=name) for name, body in jobs.FUNCTIONS.items()}


class Producer(SyncProducer):
    def dispatch(self, job: str, argument: str) -> None:
        TASKS[job].apply_async((argument,))

    def dispatch_later(self, job: str, argument: str, delay_s: float) -> None:
        TASKS[job].apply_async((argument,), countdown=delay_s)


def producer(role: Role) -> Producer:
    return Producer()


def work(role: Role) -> None:
    become(
        "celery",
        f"--app={__name__}",
        "worker",
        "--pool=threads",
        f"--concurrency={role.concurrency}",
        f"--hostname={role.worker}@%h",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
        "--loglevel=WARNING",
    )
