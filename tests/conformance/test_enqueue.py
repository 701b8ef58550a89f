"""``Transport.enqueue``: what is stored, and once at most."""

import asyncio
from typing import Any

import msgspec
import pytest

from heracles.model import Envelope, JobStatus, ReportKind, Storing
from tests.conformance.driver import LATER_MS, Driver, envelope, ids

#: Payloads are opaque: white space, escapes and numbers have to come back as they were written.
FULL = Envelope(
    job_id="invoice:2024/07:ü",
    dispatch_id="d-1",
    name="SendInvoice",
    args=b'[1, 2.50,"\\u0000 gr\xc3\xbc\xc3\x9fe \xf0\x9f\x98\x80", 12345678901234567890123, null ]',
    kwargs=b'{"copy" : {"a": [true, 1e400]}}',
    priority=3,
    no_overlap=True,
    scheduled_for_ms=4_000_000_000_000,
    overlap_delay_ms=1,
    max_retries=0,
    retry_delay_ms=0,
    timeout_ms=2,
    status_ttl_s=60,
)


async def test_a_stored_dispatch_is_pending_and_found(driver: Driver) -> None:
    made = envelope()
    (answer,) = await driver.transport.enqueue(driver.queue, [made])
    assert (answer.storing, answer.job_id, answer.dispatch_id) == (Storing.STORED, made.job_id, made.dispatch_id)
    record = await driver.find(made.dispatch_id)
    assert (record.status, record.queue, record.retries, record.token) == (JobStatus.PENDING, "emails", 0, 0)
    assert record.created_at_ms > 0
    assert await driver.counts() == {"PENDING": 1}


@pytest.mark.parametrize(
    "made",
    [
        FULL,
        msgspec.structs.replace(FULL, scheduled_for_ms=None),
        msgspec.structs.replace(FULL, scheduled_for_ms=None, no_overlap=False, priority=10),
        envelope(priority=0),
        envelope(priority=100, args=b'["' + b"x" * 1_000_000 + b'"]'),
        envelope(job_id="j" * 256, dispatch_id="d" * 256),
    ],
    ids=["scheduled", "no overlap", "plain", "defaults", "1 MB", "long ids"],
)
async def test_an_envelope_comes_back_identical(driver: Driver, made: Envelope) -> None:
    await driver.put_all([made])
    assert (await driver.find(made.dispatch_id)).envelope == made
    for delivery in await driver.start():
        assert delivery.envelope == made


@pytest.mark.parametrize("identical", [True, False], ids=["same job id", "other job id"])
async def test_of_a_known_dispatch_id_the_first_stands(driver: Driver, identical: bool) -> None:
    first = await driver.put("d-1", job_id="j-1", args=b"[1]")
    again = envelope(dispatch_id="d-1", job_id="j-1" if identical else "j-2", args=b"[2]")
    (answer,) = await driver.transport.enqueue(driver.queue, [again])
    assert (answer.storing, answer.job_id, answer.dispatch_id) == (Storing.EXISTING, "j-1", "d-1")
    assert (await driver.find("d-1")).envelope == first
    assert await driver.counts() == {"PENDING": 1}
    assert await driver.transport.find(driver.queue, "j-2") is None


async def test_of_a_known_generated_dispatch_id_the_first_stands(driver: Driver) -> None:
    first = await driver.put()
    again = envelope(dispatch_id=first.dispatch_id, job_id="j-2")
    answers = await driver.transport.enqueue(driver.queue, [first, again])
    assert [(each.storing, each.job_id) for each in answers] == [(Storing.EXISTING, first.job_id)] * 2
    assert await driver.counts() == {"PENDING": 1}


async def test_a_generated_dispatch_id_under_another_job_id_is_known_too(driver: Driver) -> None:
    twin = envelope()
    await driver.put(twin.dispatch_id, job_id="j-1")
    (answer,) = await driver.transport.enqueue(driver.queue, [twin])
    assert (answer.storing, answer.job_id) == (Storing.EXISTING, "j-1")
    assert await driver.counts() == {"PENDING": 1}


@pytest.mark.parametrize("kind", [ReportKind.COMPLETED, ReportKind.FAILED, ReportKind.RETRY])
async def test_a_dispatch_id_stays_known_as_long_as_its_record(driver: Driver, kind: ReportKind) -> None:
    delivery = await driver.put_running("d-1", job_id="j-1")
    await driver.report(delivery, kind, delay_ms=LATER_MS)
    before = await driver.find("d-1")
    (answer,) = await driver.transport.enqueue(driver.queue, [envelope(dispatch_id="d-1", job_id="j-9")])
    assert (answer.storing, answer.job_id) == (Storing.EXISTING, "j-1")
    assert await driver.find("d-1") == before


async def test_a_cancelled_dispatch_id_stays_known(driver: Driver) -> None:
    await driver.put("d-1", job_id="j-1")
    await driver.cancel("d-1")
    (answer,) = await driver.transport.enqueue(driver.queue, [envelope(dispatch_id="d-1", job_id="j-1")])
    assert answer.storing is Storing.EXISTING
    assert await driver.counts() == {"CANCELLED": 1}


async def test_within_one_call_the_first_of_a_dispatch_id_stands(driver: Driver) -> None:
    batch = [envelope(dispatch_id="d-1", job_id="j-1"), envelope(dispatch_id="d-1", job_id="j-2")]
    answers = await driver.transport.enqueue(driver.queue, batch)
    assert [each.storing for each in answers] == [Storing.STORED, Storing.EXISTING]
    assert [each.job_id for each in answers] == ["j-1", "j-1"]


@pytest.mark.parametrize("fields", [{}, {"job_id": "j-2"}, {"kwargs": b'{"a":1}'}, {"delay_ms": LATER_MS}])
async def test_within_one_call_the_first_of_a_generated_dispatch_id_stands(
    driver: Driver, fields: dict[str, Any]
) -> None:
    first = envelope(args=b"[1]")
    again = msgspec.structs.replace(first, **{"args": b"[2]", **fields})
    answers = await driver.transport.enqueue(driver.queue, [envelope(), first, envelope(), again])
    storings = [Storing.STORED] * 3 + [Storing.EXISTING]
    assert ([each.storing for each in answers], answers[3].job_id) == (storings, first.job_id)
    assert (await driver.find(first.dispatch_id)).envelope == first
    assert await driver.counts() == {"PENDING": 3}


async def test_in_one_call_those_that_are_known_hold_up_no_other(driver: Driver) -> None:
    known = [await driver.put(), await driver.put("d-1", job_id="j-1"), await driver.put(kwargs=b'{"a":1}')]
    new = [envelope(), envelope(dispatch_id="d-2", job_id="j-1"), envelope(kwargs=b'{"a":1}')]
    pairs = [each for pair in zip(known, new, strict=True) for each in pair]
    answers = await driver.transport.enqueue(driver.queue, pairs)
    assert [each.storing for each in answers] == [Storing.EXISTING, Storing.STORED] * 3
    assert [each.job_id for each in answers] == [each.job_id for each in pairs]
    assert await driver.counts() == {"PENDING": 6}


async def test_plain_ones_and_others_start_in_the_order_of_the_call(driver: Driver) -> None:
    made = [
        envelope(),
        envelope(kwargs=b'{"a":1}'),
        envelope(),
        envelope(job_id="j-1"),
        envelope(max_retries=1),
        envelope(),
    ]
    await driver.put_all(made)
    assert [delivery.envelope for delivery in await driver.start(10)] == made


async def test_ids_that_are_a_pair_of_prefixes_are_ids_like_others(driver: Driver) -> None:
    made = [envelope(job_id="job_", dispatch_id="dispatch_"), envelope()]
    await driver.put_all(made)
    assert [delivery.envelope for delivery in await driver.start(10)] == made


async def test_at_once_one_of_a_dispatch_id_is_stored(driver: Driver) -> None:
    answers = await asyncio.gather(
        *(driver.transport.enqueue(driver.queue, [envelope(dispatch_id="d-1")]) for _ in range(20))
    )
    stored = [answer for (answer,) in answers if answer.storing is Storing.STORED]
    assert len(stored) == 1
    assert {answer.job_id for (answer,) in answers} == {stored[0].job_id}
    assert await driver.counts() == {"PENDING": 1}


async def test_one_dispatch_id_may_be_in_two_queues(driver: Driver) -> None:
    other = Driver(driver.transport, "others")
    await driver.put("d-1", job_id="j-1")
    await other.put("d-1", job_id="j-1", args=b"[2]")
    assert (await driver.counts(), await other.counts()) == ({"PENDING": 1}, {"PENDING": 1})
    assert ids(await driver.start()) == ["d-1"]
    assert (await other.find("d-1")).status is JobStatus.PENDING


async def test_ids_that_look_like_parts_of_each_other_stay_apart(driver: Driver) -> None:
    pairs = [("a", "b"), ("a:b", "c"), ("a:b:c", "d"), ("b:a", "e"), ("job_X", "f"), ("x", "dispatch_X"), ("ü/|", "ü%")]
    await driver.put_all([envelope(job_id=job_id, dispatch_id=dispatch_id) for job_id, dispatch_id in pairs])
    for job_id, dispatch_id in pairs:
        assert (await driver.find(dispatch_id)).job_id == job_id
        assert (await driver.find(job_id)).dispatch_id == dispatch_id
    started = await driver.start()
    assert [(each.envelope.job_id, each.envelope.dispatch_id) for each in started] == pairs


async def test_a_call_without_envelopes_stores_nothing(driver: Driver) -> None:
    assert list(await driver.transport.enqueue(driver.queue, [])) == []
    assert await driver.counts() == {}


async def test_a_batch_of_any_length_gets_an_answer_each_in_order(driver: Driver) -> None:
    batch = [envelope() for _ in range(1000)]
    await driver.put_all(batch[500:510])
    answers = await driver.transport.enqueue(driver.queue, batch)
    assert [each.dispatch_id for each in answers] == [each.dispatch_id for each in batch]
    existing = [number for number, each in enumerate(answers) if each.storing is Storing.EXISTING]
    assert existing == list(range(500, 510))
    assert await driver.counts() == {"PENDING": 1000}
    expected = batch[500:510] + batch[:500] + batch[510:]
    assert ids(await driver.start(2000)) == [each.dispatch_id for each in expected]


async def test_a_paused_queue_stays_open_for_dispatches(driver: Driver) -> None:
    await driver.transport.gate(driver.queue, paused=True)
    await driver.put()
    assert await driver.counts() == {"PENDING": 1}


async def test_a_draining_queue_refuses_and_stores_nothing(driver: Driver) -> None:
    await driver.transport.gate(driver.queue, draining=True)
    made = envelope()
    (answer,) = await driver.transport.enqueue(driver.queue, [made])
    assert (answer.storing, answer.job_id, answer.dispatch_id) == (Storing.DRAINING, made.job_id, made.dispatch_id)
    assert await driver.transport.find(driver.queue, made.dispatch_id) is None
    assert await driver.counts() == {}


async def test_a_draining_queue_takes_what_running_jobs_dispatch(driver: Driver) -> None:
    await driver.transport.gate(driver.queue, draining=True)
    batch = [envelope(from_job=True), envelope(), envelope(from_job=True)]
    answers = await driver.transport.enqueue(driver.queue, batch)
    assert [each.storing for each in answers] == [Storing.STORED, Storing.DRAINING, Storing.STORED]
    record = await driver.find(batch[0].dispatch_id)
    assert record.envelope is not None
    assert record.envelope.from_job is False, "it does not travel"


async def test_a_draining_queue_still_knows_what_it_had(driver: Driver) -> None:
    made = await driver.put()
    await driver.transport.gate(driver.queue, draining=True)
    (answer,) = await driver.transport.enqueue(driver.queue, [made])
    assert answer.storing is Storing.EXISTING


async def test_a_reopened_queue_takes_dispatches_again(driver: Driver) -> None:
    await driver.transport.gate(driver.queue, draining=True)
    await driver.transport.gate(driver.queue, draining=False)
    await driver.put()


async def test_of_an_existing_dispatch_no_event_is_told(driver: Driver) -> None:
    made = await driver.put()
    cursor = await driver.cursor()
    await driver.transport.enqueue(driver.queue, [made])
    assert await driver.changes(cursor) == []
