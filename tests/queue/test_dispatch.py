"""Dispatching: every form, every option, and what is stored."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from heracles import Job, JobOverlapBehavior, JobStatus, Queue, dispatch
from heracles.job import RUN, JobRun
from heracles.model import Envelope
from heracles.queue.envelopes import envelope_of, envelopes_of
from heracles.transport import Transport
from tests.queue.conftest import Hand
from tests.queue.jobs import Anything, Billing, Letter, add, join


async def stored(queue: Queue, dispatch_id: str) -> Envelope:
    record = await queue.transport.find(queue.name, dispatch_id)
    assert record is not None
    assert record.envelope is not None
    return record.envelope


async def test_an_instance_is_stored_with_what_it_was_built_from(queue: Queue) -> None:
    handle = await queue.dispatch(Letter("a@example.com", copies=2))
    info = await handle.info()
    assert (info.job_id, info.dispatch_id, info.queue) == (handle.job_id, handle.dispatch_id, queue.name)
    assert (info.name, info.status, info.priority, info.retries) == ("queue-letter", JobStatus.PENDING, 10, 0)
    assert (info.args, info.kwargs) == (["a@example.com"], {"copies": 2})
    assert abs((datetime.now(UTC) - info.created_at).total_seconds()) < 60
    nothing_yet = (info.scheduled_for, info.started_at, info.completed_at, info.error, info.traceback, info.result)
    assert nothing_yet == (None,) * 6


async def test_a_class_is_stored_with_the_arguments_given(queue: Queue) -> None:
    for job, args, kwargs, expected in [
        (Letter, ["a", "b"], None, (["a", "b"], {})),
        (Letter, ("a",), {"copies": 2}, (["a"], {"copies": 2})),
        (Letter, None, {"subject": "b", "to": "a"}, (["a", "b"], {})),
        (Anything, [{"any": [1, None]}], None, ([{"any": [1, None]}], {})),
        (add, [1], {"right": 2}, ([1, 2], {})),
        (join, ["a", "b"], {"by": "-"}, (["a", "b"], {"by": "-"})),
        (join, None, None, ([], {})),
    ]:
        info = await (await queue.dispatch(job, args, kwargs=kwargs)).info()  # type: ignore[call-overload]
        assert (info.args, info.kwargs) == expected


async def test_generated_ids_share_their_end_and_rise(local: Queue) -> None:
    handles = [await local.dispatch(Letter("a")) for _ in range(20)]
    ends = [handle.dispatch_id.removeprefix("dispatch_") for handle in handles]
    assert [handle.job_id for handle in handles] == [f"job_{end}" for end in ends]
    assert ends == sorted(set(ends))


async def test_every_option_travels(local: Queue) -> None:
    due = datetime.now(UTC) + timedelta(hours=1)
    handle = await local.dispatch(
        Letter,
        ["a"],
        priority=5,
        scheduled_for=due,
        job_id="my-job",
        dispatch_id="my-dispatch",
        max_retries=0,
        retry_delay=timedelta(seconds=2),
        timeout=3000,
        overlap_behavior=JobOverlapBehavior.NO_OVERLAP,
        overlap_delay=0,
        status_ttl=timedelta(minutes=1),
    )
    assert (handle.job_id, handle.dispatch_id) == ("my-job", "my-dispatch")
    envelope = await stored(local, "my-dispatch")
    assert envelope.scheduled_for_ms == -(-int(due.timestamp() * 1_000_000) // 1000)
    assert (envelope.priority, envelope.no_overlap, envelope.overlap_delay_ms) == (5, True, 0)
    assert (envelope.max_retries, envelope.retry_delay_ms, envelope.timeout_ms) == (0, 2000, 3000)
    assert envelope.status_ttl_s == 60


async def test_of_the_class_only_priority_and_overlap_travel(local: Queue) -> None:
    envelope = await stored(local, (await local.dispatch(Billing(3))).dispatch_id)
    assert (envelope.priority, envelope.no_overlap, envelope.job_id) == (7, True, "billing-3")
    rest = (envelope.max_retries, envelope.retry_delay_ms, envelope.timeout_ms, envelope.overlap_delay_ms)
    assert (*rest, envelope.status_ttl_s) == (None,) * 5


async def test_a_dispatch_s_options_come_before_its_class_s(local: Queue) -> None:
    handle = await local.dispatch(
        Billing(3), priority=0, overlap_behavior=JobOverlapBehavior.ALLOW_OVERLAP, job_id="given", max_retries=0
    )
    envelope = await stored(local, handle.dispatch_id)
    assert (envelope.priority, envelope.no_overlap, envelope.job_id) == (0, False, "given")
    assert envelope.max_retries == 0


async def test_options_that_are_none_are_not_given(local: Queue) -> None:
    handle = await local.dispatch(Billing(3), priority=None, job_id=None, scheduled_for=None, max_retries=None)
    assert (await stored(local, handle.dispatch_id)).priority == 7


async def test_a_delay_counts_from_when_it_is_stored(queue: Queue) -> None:
    info = await (await queue.dispatch(Letter("a"), delay=timedelta(hours=1))).info()
    assert info.status is JobStatus.PENDING
    assert info.scheduled_for is not None
    assert timedelta(minutes=59, seconds=50) < info.scheduled_for - info.created_at <= timedelta(hours=1, seconds=1)


async def test_a_known_dispatch_id_is_not_stored_again(queue: Queue, hand: Hand) -> None:
    first = await queue.dispatch(Letter("a"), job_id="one", dispatch_id="same")
    again = await queue.dispatch(Letter("b"), job_id="two", dispatch_id="same")
    assert again == first
    assert again.job_id == "one"
    await hand.complete_all()
    assert (await queue.dispatch(Letter("c"), dispatch_id="same")) == first
    assert (await queue.counts())[JobStatus.PENDING] == 0


async def test_dispatches_at_once_share_calls_and_keep_their_order(memory: Transport) -> None:
    counted = Counting(memory)
    queue = Queue.get("joined", transport=counted.transport)
    handles = await asyncio.gather(*(queue.dispatch(Letter(str(n))) for n in range(200)))
    assert counted.sizes[0] == 200 or sum(counted.sizes) == 200
    assert len(counted.sizes) <= 3
    infos = await queue.jobs(limit=200)
    assert [info.args for info in reversed(infos)] == [[str(n)] for n in range(200)]
    assert [info.dispatch_id for info in reversed(infos)] == [handle.dispatch_id for handle in handles]


async def test_a_cancelled_dispatch_is_stored_or_not_and_harms_no_other(local: Queue) -> None:
    tasks = [asyncio.create_task(local.dispatch(Letter(str(n)), dispatch_id=f"d{n}")) for n in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in done[::2]] == [asyncio.CancelledError] * 10
    kept = {info.dispatch_id for info in await local.jobs()}
    assert {f"d{n}" for n in range(1, 20, 2)} <= kept


async def test_many_are_stored_in_order_with_shared_options(queue: Queue) -> None:
    handles = await queue.dispatch_many((Letter(str(n)) for n in range(600)), priority=3)
    assert len(handles) == len(set(handles)) == 600
    infos = await queue.jobs(limit=1000)
    assert [info.dispatch_id for info in reversed(infos)] == [handle.dispatch_id for handle in handles]
    assert {info.priority for info in infos} == {3}
    assert await queue.dispatch_many([]) == []


@pytest.mark.parametrize(
    "jobs",
    [
        [Letter("a"), Letter("b")],
        [Letter("a"), Letter("b", "c"), Letter("d", copies=2)],
        [Letter("a"), Anything({"a": 1.5}), Billing(1), Billing(2)],
        [add.with_arguments(1, 2), add.with_arguments(3, right=4)],
    ],
)
@pytest.mark.parametrize(
    "options", [{}, {"priority": 3, "delay": 5}, {"overlap_behavior": JobOverlapBehavior.NO_OVERLAP}]
)
def test_many_become_what_each_alone_would(jobs: list[Job], options: dict[str, Any]) -> None:
    together = envelopes_of(jobs, options, 1000)
    for envelope, alone in zip(together, [envelope_of(job, None, None, options, 1000) for job in jobs], strict=True):
        assert envelope.dispatch_id.startswith("dispatch_")
        shared = envelope.dispatch_id.removeprefix("dispatch_")
        assert envelope.job_id in (f"job_{shared}", alone.job_id)
        assert msgspec.structs.replace(envelope, job_id=alone.job_id, dispatch_id=alone.dispatch_id) == alone
    assert len({envelope.dispatch_id for envelope in together}) == len(jobs)


async def test_top_level_dispatch_goes_to_the_queue_that_the_job_names(memory: Transport) -> None:
    letters = Queue.get("letters", transport=memory)
    for job, args in [(Letter("a"), None), (Billing, [1]), (add, [1])]:
        handle = await dispatch(job, args)  # type: ignore[call-overload]
        assert handle.queue == "letters"
        assert await letters.get_job(handle) is not None


async def test_what_a_job_dispatches_is_marked(local: Queue) -> None:
    seen: list[Envelope] = []
    token = RUN.set(JobRun(id="j", dispatch_id="d", job_name="n", queue_name=local.name, token=1))
    try:
        await local.pause()
        await local.resume()
        await local.transport.gate(local.name, draining=True)
        seen.append(await stored(local, (await local.dispatch(Letter("from a job"))).dispatch_id))
        assert len(await local.dispatch_many([Letter("x"), Letter("y")])) == 2
    finally:
        RUN.reset(token)
    assert seen[0].args == b'["from a job"]'


class Counting:
    """A transport that notes how many jobs each call of ``enqueue`` stores."""

    def __init__(self, transport: Transport) -> None:
        self.sizes: list[int] = []
        self.transport = transport
        enqueue = transport.enqueue

        async def counted(queue: str, envelopes: Any) -> Any:
            self.sizes.append(len(envelopes))
            return await enqueue(queue, envelopes)

        transport.enqueue = counted  # type: ignore[method-assign]
