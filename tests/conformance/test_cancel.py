"""``Transport.cancel`` and ``clear``: in every status, by either id, at once for good."""

import asyncio

import pytest

from heracles.model import JobStatus, ReportKind, SignalKind, Verdict
from heracles.transport import Listener
from tests.conformance.driver import LATER_MS, Driver, envelope, ids, is_woken, report_on
from tests.waiting import eventually

ARGS = b'["gr\xc3\xbc\xc3\x9fe"]'
UNFINISHED = ["ready", "scheduled", "waiting for its turn", "running", "to be retried"]


async def _bring(driver: Driver, state: str) -> None:
    """A dispatch ``d-1`` of the job id ``j-1`` in that state, by the name that tests give it."""
    fields = {"job_id": "j-1", "args": ARGS}
    match state:
        case "ready":
            await driver.put("d-1", **fields)
        case "scheduled":
            await driver.put("d-1", **fields, delay_ms=LATER_MS)
        case "waiting for its turn":
            await driver.put_running("d-0", job_id="j-1", no_overlap=True)
            await driver.put("d-1", **fields, no_overlap=True)
        case "waiting for the overlap delay":
            before = await driver.put_running("d-0", job_id="j-1", no_overlap=True)
            await driver.finish(before, overlap_delay_ms=LATER_MS)
            await driver.put("d-1", **fields, no_overlap=True)
        case "running":
            await driver.put_running("d-1", **fields)
        case "to be retried":
            delivery = await driver.put_running("d-1", **fields)
            await driver.report(delivery, ReportKind.RETRY, delay_ms=LATER_MS, error="Boom: x")
        case "unknown to a worker":
            delivery = await driver.put_running("d-1", **fields)
            await driver.report(delivery, ReportKind.UNKNOWN, delay_ms=LATER_MS)
        case "given back":
            delivery = await driver.put_running("d-1", **fields)
            await driver.report(delivery, ReportKind.UNSTARTED)


@pytest.mark.parametrize("state", [*UNFINISHED, "waiting for the overlap delay", "unknown to a worker", "given back"])
async def test_an_unfinished_job_ends_cancelled_at_once(driver: Driver, state: str) -> None:
    await _bring(driver, state)
    before = await driver.counts()
    assert await driver.cancel("d-1") == [True]
    record = await driver.find("d-1")
    assert record.status is JobStatus.CANCELLED
    assert record.completed_at_ms is not None
    assert record.result is None
    assert (await driver.counts())["CANCELLED"] == 1
    assert sum((await driver.counts()).values()) == sum(before.values())
    assert await driver.start() == []


@pytest.mark.parametrize("state", [*UNFINISHED, "waiting for the overlap delay", "unknown to a worker", "given back"])
async def test_the_arguments_of_a_cancelled_job_are_kept(driver: Driver, state: str) -> None:
    await _bring(driver, state)
    await driver.cancel("d-1")
    await driver.transport.maintain(driver.queue)
    record = await driver.find("d-1")
    assert record.envelope is not None
    assert (record.envelope.args, record.name) == (ARGS, "SendEmail")


@pytest.mark.parametrize("state", UNFINISHED)
async def test_a_job_id_names_its_unfinished_dispatches(driver: Driver, state: str) -> None:
    await _bring(driver, state)
    assert await driver.cancel("j-1") == [True]
    assert await driver.status("d-1") is JobStatus.CANCELLED
    assert set(await driver.counts()) == {"CANCELLED"}


async def test_a_job_id_cancels_every_dispatch_of_it(driver: Driver) -> None:
    finished = await driver.put_running("d-0", job_id="j-1")
    await driver.finish(finished)
    retried = await driver.put_running("d-1", job_id="j-1")
    await driver.report(retried, ReportKind.RETRY, delay_ms=LATER_MS)
    await driver.put_running("d-2", job_id="j-1")
    await driver.put("d-3", job_id="j-1")
    await driver.put("d-4", job_id="j-1", delay_ms=LATER_MS)
    await driver.put("other", job_id="j-2")
    assert await driver.cancel("j-1") == [True]
    assert await driver.counts() == {"COMPLETED": 1, "CANCELLED": 4, "PENDING": 1}
    assert await driver.status("d-0") is JobStatus.COMPLETED


async def test_a_generated_job_id_names_its_dispatch(driver: Driver) -> None:
    made = await driver.put()
    assert await driver.cancel(made.job_id) == [True]
    assert await driver.status(made.dispatch_id) is JobStatus.CANCELLED


@pytest.mark.parametrize("kind", [ReportKind.COMPLETED, ReportKind.FAILED])
async def test_a_finished_job_cannot_be_cancelled(driver: Driver, kind: ReportKind) -> None:
    delivery = await driver.put_running("d-1", job_id="j-1")
    await driver.report(delivery, kind, result=b"1")
    before = await driver.find("d-1")
    assert await driver.cancel("d-1", "j-1") == [False, False]
    assert await driver.find("d-1") == before


async def test_what_there_is_not_cannot_be_cancelled(driver: Driver) -> None:
    assert await driver.cancel("d-9", "j-9") == [False, False]
    await driver.put("d-1")
    assert await driver.cancel("d-9") == [False]
    assert await driver.counts() == {"PENDING": 1}


async def test_each_id_gets_its_answer_in_order(driver: Driver) -> None:
    await driver.put("d-1", job_id="j-1")
    await driver.put("d-2", job_id="j-2")
    assert await driver.cancel("d-1", "d-9", "j-2") == [True, False, True]


async def test_a_batch_of_any_length_is_cancelled(driver: Driver) -> None:
    batch = [envelope() for _ in range(1000)]
    await driver.put_all(batch)
    assert await driver.cancel(*(each.dispatch_id for each in batch)) == [True] * 1000
    assert await driver.counts() == {"CANCELLED": 1000}


async def test_cancelling_again_is_true_and_changes_nothing(driver: Driver) -> None:
    await driver.put_running("d-1")
    await driver.cancel("d-1")
    before, cursor = await driver.find("d-1"), await driver.cursor()
    assert await driver.cancel("d-1") == [True], "so that it can be repeated when its answer was lost"
    assert await driver.find("d-1") == before
    assert await driver.changes(cursor) == []
    assert await driver.counts() == {"CANCELLED": 1}


async def test_code_that_still_runs_after_its_end_cannot_be_cancelled(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.FAILED, still_running=True)
    assert await driver.cancel("d-1") == [False]
    assert await driver.status("d-1") is JobStatus.FAILED


async def test_a_retry_whose_code_still_runs_is_cancelled_and_released(driver: Driver) -> None:
    delivery = await driver.put_running("d-1", job_id="j-1", no_overlap=True)
    await driver.put("d-2", job_id="j-1", no_overlap=True)
    await driver.report(delivery, ReportKind.RETRY, still_running=True, delay_ms=0)
    assert await driver.cancel("d-1") == [True]
    assert await driver.start() == [], "its code still runs"
    await driver.report(delivery, ReportKind.RELEASED)
    assert ids(await driver.start()) == ["d-2"]
    assert await driver.status("d-1") is JobStatus.CANCELLED


async def test_its_worker_is_told(driver: Driver) -> None:
    listener = driver.listen()
    await listener.wait(1)
    await driver.put_running("d-1")
    await driver.beat()
    await driver.cancel("d-1")

    async def told() -> bool:
        signals = await listener.wait(1000)
        return any(signal.kind is SignalKind.CANCEL and signal.dispatch_id == "d-1" for signal in signals)

    await eventually(told)
    await listener.close()


async def test_of_cancel_and_completion_one_wins_and_both_agree(driver: Driver) -> None:
    await driver.put_all([envelope(dispatch_id=f"d-{number}") for number in range(60)])
    started = await driver.start()
    for number, delivery in enumerate(started):
        name = delivery.envelope.dispatch_id
        completing = driver.report(delivery, ReportKind.COMPLETED, result=b"1")
        # What is made a task first is sent first.
        early = asyncio.ensure_future(completing) if number % 2 else None
        cancelling = asyncio.ensure_future(driver.cancel(name))
        verdict = await (early or completing)
        [cancelled] = await cancelling
        expected = (Verdict.CANCELLED, JobStatus.CANCELLED) if cancelled else (Verdict.APPLIED, JobStatus.COMPLETED)
        assert (verdict, await driver.status(name)) == expected


async def test_of_cancel_and_start_both_agree(driver: Driver) -> None:
    for number in range(30):
        name = f"d-{number}"
        await driver.put(name)
        started, [cancelled] = await asyncio.gather(driver.start(1), driver.cancel(name))
        assert cancelled
        for delivery in started:
            assert await driver.report(delivery, ReportKind.COMPLETED) is Verdict.CANCELLED
    assert await driver.counts() == {"CANCELLED": 30}


# ---- clear


async def _one_of_each(driver: Driver) -> None:
    await driver.put_running("running")
    await driver.report(await driver.put_running("retry"), ReportKind.RETRY, delay_ms=LATER_MS)
    await driver.finish(await driver.put_running("done"))
    await driver.put_running("first", job_id="j", no_overlap=True)
    await driver.put("second", job_id="j", no_overlap=True)
    await driver.put("ready", priority=3)
    await driver.put("scheduled", delay_ms=LATER_MS)


async def test_clear_ends_all_that_has_not_started(driver: Driver) -> None:
    await _one_of_each(driver)
    assert await driver.transport.clear(driver.queue) == 4
    assert await driver.counts() == {"RUNNING": 2, "COMPLETED": 1, "CANCELLED": 4}
    for name in ("retry", "second", "ready", "scheduled"):
        assert await driver.status(name) is JobStatus.CANCELLED
    assert await driver.start() == []


async def test_clear_can_end_what_runs_too(driver: Driver) -> None:
    await _one_of_each(driver)
    assert await driver.transport.clear(driver.queue, running=True) == 6
    assert await driver.counts() == {"COMPLETED": 1, "CANCELLED": 6}
    assert await driver.start() == []


async def test_clear_takes_any_number(driver: Driver) -> None:
    await driver.put_all([envelope(priority=number % 4) for number in range(700)])
    await driver.put_all([envelope(delay_ms=LATER_MS) for _ in range(300)])
    await driver.put_all([envelope(job_id="j", no_overlap=True) for _ in range(300)])
    assert await driver.transport.clear(driver.queue) == 1300
    assert await driver.counts() == {"CANCELLED": 1300}
    assert await driver.transport.clear(driver.queue) == 0


async def test_clear_leaves_other_queues_alone(driver: Driver) -> None:
    other = Driver(driver.transport, "others")
    await driver.put()
    await other.put()
    assert await driver.transport.clear(driver.queue) == 1
    assert await other.counts() == {"PENDING": 1}


async def test_a_cleared_queue_takes_new_jobs(driver: Driver) -> None:
    await driver.put("d-1", job_id="j", no_overlap=True)
    await driver.transport.clear(driver.queue)
    await driver.put("d-2", job_id="j", no_overlap=True)
    assert ids(await driver.start()) == ["d-2"]


async def test_clear_of_an_unused_queue_ends_nothing(driver: Driver) -> None:
    assert await driver.transport.clear("unused") == 0


async def test_a_cancelled_run_frees_its_worker(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.put("d-2")
    await driver.cancel("d-1")
    exchanged = await driver.exchange([report_on(delivery, ReportKind.RELEASED)], slots=1)
    assert ids(exchanged.started) == ["d-2"]


async def test_cancelling_the_first_of_a_line_wakes_a_worker_for_the_next(driver: Driver) -> None:
    await driver.put("d-1", job_id="j", no_overlap=True)
    await driver.put("d-2", job_id="j", no_overlap=True)
    listener = driver.listen()
    await eventually(lambda: _is_quiet(listener))
    await driver.cancel("d-1")
    assert await is_woken(listener, SignalKind.WORK)
    await listener.close()


async def _is_quiet(listener: Listener) -> bool:
    return not await listener.wait(50)


async def test_clear_ends_a_retry_whose_code_still_runs(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    await driver.report(delivery, ReportKind.RETRY, still_running=True, delay_ms=LATER_MS)
    assert await driver.transport.clear(driver.queue) == 1
    assert await driver.status("d-1") is JobStatus.CANCELLED
