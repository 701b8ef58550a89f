"""What a dispatch refuses, before anything is stored."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from heracles import (
    ArgumentsError,
    HeraclesError,
    Job,
    JobRegistrationError,
    JobStatus,
    OptionError,
    PayloadTooLargeError,
    Queue,
    QueueDrainingError,
    UnknownJobError,
)
from heracles.sqlite import SqliteTransport
from tests.queue.jobs import Anything, Letter, Unregistered, add


@pytest.fixture
async def small() -> AsyncIterator[Queue]:
    """A queue whose payloads have 100 bytes at most; in the end it must be empty."""
    transport = SqliteTransport(":memory:", max_payload_bytes=100)
    queue = Queue.get("small", transport=transport)
    yield queue
    assert set((await queue.counts()).values()) == {0}
    await transport.close()


@pytest.mark.parametrize("job", [Unregistered(), Unregistered, Job, print, "queue-letter", None])
async def test_an_unknown_job(small: Queue, job: Any) -> None:
    with pytest.raises(UnknownJobError):
        await small.dispatch(job)
    with pytest.raises(UnknownJobError):
        await small.dispatch_many([Letter("a"), job])


@pytest.mark.parametrize(
    ("job", "args", "kwargs", "message"),
    [
        (Letter, [], None, "'to'"),
        (Letter, ["a", "b", 1, 2], None, "too many"),
        (Letter, [1], None, "'to'"),
        (Letter, ["a"], {"copies": "2"}, "'copies'"),
        (Letter, ["a"], {"colour": 1}, "'colour'"),
        (Letter, "ab", None, "args="),
        (Letter, {"to": "a"}, None, "args="),
        (Letter, None, ["a"], "kwargs="),
        (Letter("a"), ["b"], None, "an instance has its arguments"),
        (Letter("a"), None, {"to": "b"}, "an instance has its arguments"),
        (Letter(3), None, None, "'to'"),  # type: ignore[arg-type]
        (Anything(object()), None, None, "'value'"),
        (Anything((1, 2)), None, None, "'value'"),
        (add, ["1"], None, "'left'"),
    ],
)
async def test_arguments_that_do_not_fit(small: Queue, job: Any, args: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(ArgumentsError, match=message):
        await small.dispatch(job, args, kwargs=kwargs)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"priority": -1}, "priority"),
        ({"priority": 101}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"priority": True}, "priority"),
        ({"delay": -1}, "delay"),
        ({"delay": "soon"}, "delay"),
        ({"scheduled_for": datetime(2099, 1, 1)}, "time zone"),
        ({"scheduled_for": "2099-01-01T00:00:00Z"}, "scheduled_for"),
        ({"scheduled_for": 4_000_000_000}, "scheduled_for"),
        ({"scheduled_for": datetime.now(UTC), "delay": 5}, "exclude each other"),
        ({"max_retries": -1}, "max_retries"),
        ({"retry_delay": float("nan")}, "retry_delay"),
        ({"timeout": 0}, "timeout"),
        ({"overlap_behavior": "maybe"}, "overlap_behavior"),
        ({"overlap_delay": -1}, "overlap_delay"),
        ({"status_ttl": 0}, "status_ttl"),
        ({"job_id": ""}, "job_id"),
        ({"job_id": "a b"}, "job_id"),
        ({"job_id": "a*"}, "job_id"),
        ({"job_id": "x" * 257}, "job_id"),
        ({"job_id": 7}, "job_id"),
        ({"dispatch_id": "a:b"}, "dispatch_id"),
        ({"dispatch_id": "a\n"}, "dispatch_id"),
        ({"dispatch_id": "{a}"}, "dispatch_id"),
        ({"priorty": 5}, "priorty"),
        ({"concurrency": 5}, "concurrency"),
    ],
)
async def test_an_option_that_is_not_allowed(small: Queue, options: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        await small.dispatch(Letter("a"), **options)


async def test_a_generated_job_id_that_is_not_allowed(small: Queue) -> None:
    @Job.register()
    class WrongId(Job):
        @classmethod
        def generate_job_id(cls, *args: Any, **kwargs: Any) -> str:
            return "no spaces"

        def execute(self) -> None: ...

    with pytest.raises(OptionError, match="no spaces"):
        await small.dispatch(WrongId())


async def test_an_annotation_that_cannot_be_decoded(small: Queue) -> None:
    @Job.register()
    class Undecodable(Job):
        def __init__(self, number: complex) -> None: ...

        def execute(self) -> None: ...

    with pytest.raises(JobRegistrationError, match="'number'"):
        await small.dispatch(Undecodable(1j))


async def test_a_payload_over_the_limit(small: Queue) -> None:
    with pytest.raises(PayloadTooLargeError, match=r"101 bytes, over max_payload_bytes=100"):
        await small.dispatch(Anything("x" * 97))
    with pytest.raises(PayloadTooLargeError):
        await small.dispatch(Letter, ["x" * 88], kwargs={"copies": 1})


async def test_a_payload_at_the_limit_is_stored() -> None:
    queue = Queue.get("at-the-limit", transport=SqliteTransport(":memory:", max_payload_bytes=100))
    for job in (Anything("x" * 96), Letter("x" * 84, copies=1)):
        assert (await (await queue.dispatch(job)).info()).args is not None
    await queue.transport.close()


async def test_many_are_all_checked_before_any_is_stored(small: Queue) -> None:
    for last in (Letter(3), Anything("x" * 100), Unregistered()):  # type: ignore[arg-type]
        with pytest.raises(HeraclesError):
            await small.dispatch_many([Letter("a"), Letter("b"), last])
    with pytest.raises(OptionError, match="priority"):
        await small.dispatch_many([Letter("a")], priority=101)
    for options in ({"job_id": "a"}, {"dispatch_id": "a"}):
        with pytest.raises(OptionError, match="name one job"):
            await small.dispatch_many([Letter("a")], **options)  # type: ignore[arg-type]


async def test_a_draining_queue_refuses(queue: Queue) -> None:
    await queue.drain()
    with pytest.raises(QueueDrainingError, match=rf"'{queue.name}' is draining.*resume"):
        await queue.dispatch(Letter("a"))
    with pytest.raises(QueueDrainingError):
        await queue.dispatch_many([Letter("a"), Letter("b")])
    assert (await queue.counts())[JobStatus.PENDING] == 0
    await queue.resume()
    await queue.dispatch(Letter("a"))
