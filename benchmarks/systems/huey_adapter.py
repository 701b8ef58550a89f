"""huey on Redis, or on SQLite.

https://huey.readthedocs.io/en/latest/consumer.html: threads in one process, no periodic tasks; the Redis storage blocks
for its next task, SQLite is polled. https://huey.readthedocs.io/en/latest/api.html#SqliteHuey: no fsync, write-ahead
log. No results are kept.
"""

from huey import RedisHuey, SqliteHuey  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks import jobs
from benchmarks.role import Role
from benchmarks.systems import SyncProducer, become

_role = Role.current()
_IS_SQLITE = _role.url.startswith("sqlite:")
huey = (
    SqliteHuey("bench", filename=_role.path, fsync=False, journal_mode="wal", results=False)
    if _IS_SQLITE
    else RedisHuey("bench", url=_role.url, results=False)
)
TASKS = {name: huey.task(name=name)(body) for name, body in jobs.FUNCTIONS.items()}


class Producer(SyncProducer):
    def dispatch(self, job: str, argument: str) -> None:
        TASKS[job](argument)

    def dispatch_later(self, job: str, argument: str, delay_s: float) -> None:
        TASKS[job].schedule(args=(argument,), delay=delay_s)


def producer(role: Role) -> Producer:
    return Producer()


def work(role: Role) -> None:
    # Polling every millisecond at least: the default of 0.1 s backs off to 10 s.
    polling = ["--delay=0.001", "--max-delay=0.001"] if _IS_SQLITE else []
    workers = f"--workers={role.concurrency}"
    become("huey_consumer", f"{__name__}.huey", workers, "--worker-type=thread", "--no-periodic", "--quiet", *polling)
