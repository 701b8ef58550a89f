"""Mistakes that a type checker must find: each line with "wrong" at its end. Read by type checkers, never run."""

from dataclasses import dataclass

import heracles
from heracles import Job, Queue, job


@Job.register(queue="emails")
class SendEmail(Job):
    def __init__(self, to: str, copies: int = 1) -> None:
        self.to, self.copies = to, copies

    async def execute(self) -> int:
        return self.copies


@Job.register()
@dataclass
class Resize(Job):
    path: str

    def execute(self) -> None: ...


@Job.register()
class Ping(Job):
    def execute(self) -> None: ...


@job(queue="emails")
async def send(to: str) -> int:
    return len(to)


async def mistakes(queue: Queue) -> None:
    await queue.dispatch(SendEmail(3))  # wrong
    await queue.dispatch(SendEmail("a", copies="2"))  # wrong
    await queue.dispatch(SendEmail())  # wrong
    await queue.dispatch(SendEmail("a", 1, 2))  # wrong
    await queue.dispatch(Resize(path=3))  # wrong
    await queue.dispatch(Ping(1))  # wrong
    await queue.dispatch(3)  # wrong
    await queue.dispatch("SendEmail")  # wrong
    await queue.dispatch(SendEmail("a"), priority="high")  # wrong
    await queue.dispatch(SendEmail("a"), priorty=5)  # wrong
    await queue.dispatch(SendEmail, ["a"], scheduled_for="tomorrow")  # wrong
    queue.sync.dispatch(SendEmail("a"), delay="soon")  # wrong
    await send.dispatch(3)  # wrong
    await send.dispatch("a", "b")  # wrong
    await send.dispatch(too="a")  # wrong
    await send.with_options(priority="high").dispatch("a")  # wrong
    send.sync.dispatch(3)  # wrong
    text: str = await (await queue.dispatch(SendEmail("a"))).result()  # wrong
    print(text)
    queue.dispach(Ping())  # wrong
    heracles.Qeue()  # wrong
    await queue.dispatch_many([Ping(), 3])  # wrong
    Queue.get("emails", concurency=4)  # wrong
    heracles.RedisTransport(lease="30 s")  # wrong
    heracles.RedisTransport(durability="full")  # wrong
    heracles.RedisWorker("default", id="w", keyprefix="myapp:jobs")  # wrong
    heracles.SqliteWorker("jobs.db", consumer_group="workers")  # wrong


@Job.register(priority="high")  # wrong
class Loud(Job):
    def execute(self) -> None: ...


class NoJob:
    def execute(self) -> None: ...


Job.register()(NoJob)  # wrong
