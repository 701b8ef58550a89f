"""A Redis with users, and a session that uses the whole public interface as them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heracles import JobCancelledError, JobFailedError, JobStatus, Queue, Redis, RedisTransport, Worker
from heracles.model import CleanupRules
from heracles.queue import JobHandle
from tests.security.jobs import Alone, FailOnce, Forever, double, fail, long_text
from tests.servers import Server
from tests.waiting import eventually

#: What the page grants in addition for Sentinel and for Cluster.
FOR_SENTINEL, FOR_CLUSTER = "+role", "+cluster|slots"
ON_SENTINELS = ("+sentinel|get-master-addr-by-name", "+sentinel|master")
PAGE = Path(__file__).parents[2] / "docs" / "security.md"
PREFIX = "myapp:jobs"
PASSWORDS = {"producer": "pr0ducer-s3cret", "worker": "w0rker-s3cret"}
_SETUSER = re.compile(r"^ACL SETUSER (producer|worker) .*$", re.MULTILINE)


def documented() -> Mapping[str, Sequence[str]]:
    """The words of the lines that the page gives, by user, with the tests' passwords."""
    lines = {found[1]: found[0].split()[1:] for found in _SETUSER.finditer(PAGE.read_text())}
    assert set(lines) == set(PASSWORDS)
    return {user: [_own(user, word) for word in words] for user, words in lines.items()}


def _own(user: str, word: str) -> str:
    return f">{PASSWORDS[user]}" if word.startswith(">") else word


def admit(server: Server, *more: str) -> None:
    """Make the users, with further words, and register a connection for each under its name."""
    for user, words in documented().items():
        server.command("ACL", *words, *more)
        Redis.register_connection(user, url=f"redis://{user}:{PASSWORDS[user]}@127.0.0.1:{server.port}")


def denials(server: Server) -> list[str]:
    """What was denied so far, a line each."""
    entries = server.command("ACL", "LOG")
    return [" ".join(str(part) for part in (entry if isinstance(entry, list) else entry.items())) for entry in entries]


class Session:
    """A queue of the producer's, a worker of the worker's."""

    def __init__(self, name: str) -> None:
        self.producer = RedisTransport(connection="producer", key_prefix=PREFIX, dispatch_timeout=1000)
        self.worker = RedisTransport(connection="worker", key_prefix=PREFIX, poll_interval=200)
        self.queue = Queue.get(name, transport=self.producer)

    async def close(self) -> None:
        Queue.remove(self.queue.name)
        await self.producer.close()
        await self.worker.close()

    async def use_everything(self) -> None:
        """Each verb of the public interface once at least."""
        async with Worker(id="guarded-1", transport=self.worker) as worker:
            await worker.create_queue(name=self.queue.name, concurrency=4)
            await worker.start()
            await self._run_jobs()
            await self._cancel()
            await self._steer()
        await self._look()
        for transport in (self.producer, self.worker):
            await transport.maintain(self.queue.name)
            await transport.cleanup(self.queue.name, CleanupRules())
        await self.producer.cleanup(self.queue.name, CleanupRules(everything=True))

    async def _run_jobs(self) -> None:
        queue = self.queue
        handles = await queue.dispatch_many([FailOnce(), Alone(), Alone()])
        assert await handles[0].result(timeout=30) == 1
        for handle in handles[1:]:
            await handle.result(timeout=30)
        one = await queue.dispatch(double, [21], delay=20, priority=3)
        assert await one.result(timeout=30) == 42
        assert len(await (await queue.dispatch(long_text, [])).result(timeout=30)) == 500
        failing = await queue.dispatch(fail, [2])
        try:
            await failing.result(timeout=30)
        except JobFailedError:
            await queue.retry_job(failing)
        first, second = [await queue.dispatch(Alone, [], job_id="the-same") for _ in range(2)]
        await first.result(timeout=30)
        await second.result(timeout=30)

    async def _cancel(self) -> None:
        running = await self.queue.dispatch(Forever())
        await eventually(lambda: _is(running, JobStatus.RUNNING))
        assert await running.cancel()
        try:
            await running.result(timeout=30)
        except JobCancelledError:
            return
        raise AssertionError("it was cancelled")

    async def _steer(self) -> None:
        queue = self.queue
        await queue.pause()
        waiting = await queue.dispatch(double, [1])
        later = await queue.dispatch(double, [1], delay=60_000)
        assert await queue.is_paused()
        assert await queue.cancel_job(waiting)
        assert await queue.clear() >= 1
        assert await later.status() is JobStatus.CANCELLED
        await queue.resume()
        await queue.drain(timeout=30)
        await queue.resume()
        await queue.cancel_all_jobs()

    async def _look(self) -> None:
        queue = self.queue
        assert (await queue.counts())[JobStatus.COMPLETED] >= 5
        (newest, *_) = await queue.jobs(limit=5)
        assert await queue.get_job(newest.dispatch_id) is not None
        assert await queue.get_job(newest.job_id) is not None
        assert "guarded-1" not in {worker.id for worker in await queue.workers()}
        assert queue.name in await self.producer.queues()


async def _is(handle: JobHandle[Any], status: JobStatus) -> bool:
    return await handle.status() is status
