"""Jobs to dispatch. Nobody runs them, unless a test has a worker."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from heracles import Job, JobOverlapBehavior, job


@Job.register(queue="letters", name="queue-letter")
class Letter(Job):
    """Send a letter."""

    def __init__(self, to: str, subject: str = "none", copies: int = 1) -> None:
        self.to, self.subject, self.copies = to, subject, copies

    async def execute(self) -> str:
        return self.to


@dataclass
class Receipt:
    """What ``Billing`` returns."""

    day: dt.date
    total: float


@Job.register(
    queue="letters",
    name="queue-billing",
    priority=7,
    max_retries=9,
    retry_delay=100,
    timeout=1000,
    overlap_behavior=JobOverlapBehavior.NO_OVERLAP,
    overlap_delay=50,
    status_ttl=60,
)
@dataclass(frozen=True)
class Billing(Job):
    """Has every option of its own."""

    customer: int

    @classmethod
    def generate_job_id(cls, *args: Any, **kwargs: Any) -> str:
        return f"billing-{args[0]}"

    def execute(self) -> Receipt:
        return Receipt(dt.date(2024, 1, 1), float(self.customer))


@Job.register(name="queue-anything")
class Anything(Job):
    """Takes any JSON value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    async def execute(self) -> Any:
        return self.value


class Unregistered(Job):
    """Nobody knows it."""

    def execute(self) -> None: ...


@job(queue="letters", name="queue-add", max_retries=1)
async def add(left: int, right: int = 1) -> int:
    """Add two numbers."""
    return left + right


@job(name="queue-join")
def join(*words: str, by: str = " ") -> str:
    return by.join(words)
