"""Dramatiq on its Redis broker: threads, each with one job.

https://dramatiq.io/guide.html and https://dramatiq.io/reference.html#middleware: of the default middleware only what
the jobs need is kept; workers prefetch two messages a thread.
"""

import dramatiq  # type: ignore[import-not-found]  # in an environment of its own
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]  # in an environment of its own
from dramatiq.middleware import Retries  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks import jobs
from benchmarks.role import Role
from benchmarks.systems import SyncProducer, become

_role = Role.current()
_recovery = {"heartbeat_timeout": _role.recovery_s * 1000, "maintenance_chance": 100_000} if _role.recovery_s else {}
broker = RedisBroker(url=_role.url, middleware=[Retries()], **_recovery)
dramatiq.set_broker(broker)
ACTORS = {name: dramatiq.actor(body, actor_name=name, queue_name="bench") for name, body in jobs.FUNCTIONS.items()}


class Producer(SyncProducer):
    def dispatch(self, job: str, argument: str) -> None:
        ACTORS[job].send(argument)

    def dispatch_later(self, job: str, argument: str, delay_s: float) -> None:
        ACTORS[job].send_with_options(args=(argument,), delay=round(delay_s * 1000))


def producer(role: Role) -> Producer:
    return Producer()


def work(role: Role) -> None:
    become("dramatiq", __name__, "--processes=1", f"--threads={role.concurrency}", "--skip-logging")
