"""What the users of a guarded store run."""

import asyncio

from heracles import Job, JobOverlapBehavior, job


@job(queue="guarded", name="guarded-double")
async def double(number: int) -> int:
    return 2 * number


@job(queue="guarded")
async def long_text() -> str:
    return "text " * 100


@job(queue="guarded", max_retries=2, retry_delay=1)
async def fail(times: int) -> str:
    raise ValueError("as it was told to " + "x" * 100)


@Job.register(queue="guarded", name="GuardedFailOnce", max_retries=1, retry_delay=1)
class FailOnce(Job):
    """Succeeds at its first retry."""

    async def execute(self) -> int:
        if not self.retries:
            raise ValueError("the first time")
        return self.retries


@Job.register(queue="guarded", overlap_behavior=JobOverlapBehavior.NO_OVERLAP, overlap_delay=10)
class Alone(Job):
    """One at a time."""

    async def execute(self) -> None:
        await asyncio.sleep(0.01)


@Job.register(queue="guarded")
class Forever(Job):
    """Ends when it is cancelled."""

    async def execute(self) -> None:
        await asyncio.Event().wait()
