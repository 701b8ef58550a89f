"""What users write; type checkers must accept it and know its types. Read by them, never run."""

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from heracles import (
    Job,
    JobEvent,
    JobHandle,
    JobInfo,
    JobOverlapBehavior,
    JobStatus,
    Queue,
    RedisTransport,
    RedisWorker,
    SqliteTransport,
    SqliteWorker,
    SyncJobHandle,
    Worker,
    WorkerInfo,
    dispatch,
    job,
)


@Job.register(queue="emails", max_retries=3, retry_delay=timedelta(seconds=5), timeout=10.5)
class SendEmail(Job):
    def __init__(self, to: str, subject: str = "") -> None:
        self.to, self.subject = to, subject

    async def execute(self) -> bool:
        self.info(f"sent to {self.to}")
        self.error("not %s", self.to, exc_info=True)
        assert_type(self.id, str | None)
        assert_type(self.retries, int)
        assert_type(self.cancelled, bool)
        assert_type(self.created_at, datetime | None)
        return True


@Job.register(overlap_behavior=JobOverlapBehavior.NO_OVERLAP)
@dataclass(frozen=True)
class Resize(Job):
    path: str
    width: int = 100

    @classmethod
    def generate_job_id(cls, *args: Any, **kwargs: Any) -> str:
        return str(args[0])

    def execute(self) -> tuple[int, int]:
        return self.width, self.width


@job(queue="emails")
async def send(to: str, *, copies: int = 1) -> int:
    return copies


@job
def shout(text: str) -> str:
    return text.upper()


async def awaited(anything: Job) -> None:
    queue = Queue.get("emails", concurrency=4, transport=SqliteTransport, transport_options={"path": ":memory:"})
    Queue.get("other", transport=SqliteTransport(":memory:"))
    Queue.get("third", transport=RedisTransport, transport_options={"connection": "default"})
    assert_type(await queue.dispatch(SendEmail("a")), JobHandle[bool])
    assert_type(await queue.dispatch(SendEmail, ["a"], priority=5, scheduled_for=datetime.now(UTC)), JobHandle[bool])
    assert_type(await queue.dispatch(Resize("a"), delay=timedelta(hours=1)), JobHandle[tuple[int, int]])
    assert_type(await queue.dispatch(Resize, kwargs={"path": "a"}, job_id=None), JobHandle[tuple[int, int]])
    assert_type(await queue.dispatch(send, ["a"]), JobHandle[int])
    assert_type(await queue.dispatch(shout, ["a"]), JobHandle[str])
    assert_type(await dispatch(SendEmail("a")), JobHandle[bool])
    assert_type(await send.dispatch("a", copies=2), JobHandle[int])
    assert_type(await shout.dispatch("a"), JobHandle[str])
    assert_type(await shout.with_options(queue, priority=1).dispatch("a"), JobHandle[str])
    assert_type(await send("a"), int)
    assert_type(shout("a"), str)
    assert_type(await (await queue.dispatch(Resize("a"))).result(timeout=5), tuple[int, int])
    assert_type(await (await queue.dispatch(anything)).result(), Any)
    assert_type(await queue.dispatch_many([SendEmail("a"), Resize("b")]), list[JobHandle[Any]])
    assert_type(await queue.get_job("a"), JobInfo | None)
    assert_type(await queue.get_handle("a"), JobHandle[Any])
    assert_type(await queue.counts(), dict[JobStatus, int])
    assert_type(await queue.workers(), list[WorkerInfo])
    assert_type(queue.events(), AsyncGenerator[JobEvent, None])
    await queue.cancel_job(await queue.dispatch(SendEmail("a")))
    await queue.drain(timeout=timedelta(seconds=5), scheduled=True)


def called(queue: Queue) -> None:
    assert_type(queue.sync.dispatch(SendEmail("a")), SyncJobHandle[bool])
    assert_type(queue.sync.dispatch(Resize, ["a"]).result(timeout=3), tuple[int, int])
    assert_type(queue.sync.dispatch(send, ["a"]), SyncJobHandle[int])
    assert_type(send.sync.dispatch("a"), SyncJobHandle[int])
    assert_type(queue.sync.events(), Iterator[JobEvent])
    assert_type(queue.sync.get_handle("a"), SyncJobHandle[Any])
    assert_type(queue.sync.counts(), dict[JobStatus, int])


async def workers() -> None:
    async with SqliteWorker("heracles.db", id="worker-1") as worker:
        await worker.create_queue(name="emails", concurrency=4)
        assert_type(worker, SqliteWorker)
    async with RedisWorker("default", id="worker-1", key_prefix="myapp:jobs"):
        pass
    async with Worker(id="worker-1", transport=SqliteTransport(":memory:")):
        pass
