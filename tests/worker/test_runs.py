"""What becomes of jobs in a worker, on every store."""

import asyncio
from functools import partial
from typing import Any

import pytest

from heracles.model import JobStatus
from tests.waiting import eventually
from tests.worker.jobs import BOARD
from tests.worker.site import HARDLY_EVER_MS, QUEUE, Site


@pytest.mark.parametrize("name", ["Note", "NoteInThread"])
async def test_a_job_runs_and_its_result_is_kept(site: Site, name: str) -> None:
    await site.worker()
    record = await site.run(name, ["a", 1])
    assert (record.status, record.result, record.worker) == (JobStatus.COMPLETED, b'["a",1]', "worker-1")
    assert BOARD.notes == [["a", 1]]


async def test_the_start_and_the_end_of_a_job_are_lines_for_who_wants_them(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "heracles.worker")
    await site.worker()
    record = await site.run("Note", 1)
    dispatch_id = record.envelope.dispatch_id if record.envelope else ""
    told = [line for line in caplog.records if getattr(line, "dispatch_id", "") == dispatch_id]
    assert [line.getMessage() for line in told] == [f"Note {dispatch_id} starts", f"Note {dispatch_id} completed"]


async def test_jobs_dispatched_before_the_start_run(site: Site) -> None:
    ids = [await site.dispatch("Note", i) for i in range(20)]
    await site.worker(concurrency=1)
    for dispatch_id in ids:
        assert (await site.until(dispatch_id)).status is JobStatus.COMPLETED
    assert BOARD.notes == list(range(20))


async def test_a_queue_may_be_created_after_the_start(site: Site) -> None:
    worker = await site.worker("first")
    await worker.create_queue(name="second")
    assert (await site.until(await site.dispatch("Note", 1, queue="second"), queue="second")).status == "completed"
    assert (await site.until(await site.dispatch("Note", 2, queue="first"), queue="first")).status == "completed"


async def test_no_more_than_its_concurrency_run_at_once(site: Site) -> None:
    ids = [await site.dispatch("Gate", f"door {i}") for i in range(5)]
    await site.worker(concurrency=2)
    await site.noted("begin door 0", "begin door 1")
    BOARD.doors["door 0"].set()
    await site.noted("begin door 2")
    assert (await site.counts())[JobStatus.RUNNING] == 2
    BOARD.open_all()
    for dispatch_id in ids:
        await site.until(dispatch_id)


async def test_priorities_go_first(site: Site) -> None:
    for i, priority in enumerate((50, 10, 0, 10, 100)):
        await site.dispatch("Note", i, priority=priority)
    await site.worker(concurrency=1)
    await eventually(lambda: len(BOARD.notes) == 5)
    assert BOARD.notes == [2, 1, 3, 0, 4]


async def test_a_failed_job_is_retried_with_the_error_before_at_hand(site: Site) -> None:
    await site.worker()
    record = await site.run("FailTimes", 2)
    assert (record.status, record.retries, record.result, record.error) == (JobStatus.COMPLETED, 2, b"2", None)
    assert BOARD.notes == [(0, None), (1, "ValueError: run 0"), (2, "ValueError: run 1")]


async def test_retries_come_to_an_end(site: Site) -> None:
    await site.worker(max_retries=2)
    record = await site.run("FailTimes", 9)
    assert (record.status, record.retries, record.error) == (JobStatus.FAILED, 2, "ValueError: run 2")
    assert "in execute" in (record.traceback or "")


async def test_a_retry_waits_for_its_delay(site: Site) -> None:
    await site.worker(on=site.make_transport(poll_interval=HARDLY_EVER_MS))
    loop = asyncio.get_running_loop()
    begin = loop.time()
    waiting = await site.until(await site.dispatch("FailTimes", 1, retry_delay_ms=300), JobStatus.SCHEDULED_FOR_RETRY)
    assert (waiting.retries, waiting.error) == (1, "ValueError: run 0")
    await site.until(waiting.dispatch_id)
    assert loop.time() - begin >= 0.3


@pytest.mark.parametrize("name", ["Raise", "RaiseInThread"])
@pytest.mark.parametrize("what", ["SystemExit", "KeyboardInterrupt", "CancelledError", "recursion", "GeneratorExit"])
async def test_whatever_a_job_raises_fails_it_and_leaves_the_worker(site: Site, name: str, what: str) -> None:
    await site.worker(max_retries=1)
    record = await site.run(name, what)
    assert (record.status, record.retries) == (JobStatus.FAILED, 1)
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("Raise", ("Fail", "never"), "Fail: never"),
        ("FailTimes", ("three",), "ArgumentsError: "),
        ("Return", ("large",), "ResultError: "),
        ("Return", ("object",), "ResultError: "),
    ],
)
async def test_some_failures_are_for_good(site: Site, name: str, args: tuple[str, ...], error: str) -> None:
    await site.worker()
    record = await site.run(name, *args)
    assert (record.status, record.retries) == (JobStatus.FAILED, 0)
    assert (record.error or "").startswith(error)


async def test_what_the_constructor_raises_is_retried(site: Site) -> None:
    await site.worker(max_retries=1)
    record = await site.run("RaiseInConstructor", True)
    assert (record.status, record.retries, record.error) == (JobStatus.FAILED, 1, "ValueError: cannot be built")


async def test_a_job_that_nobody_knows_goes_back_for_those_who_do(site: Site) -> None:
    await site.worker()
    dispatch_id = await site.dispatch("NobodyKnows")
    await eventually(lambda: _is_unknown(site, dispatch_id))
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED
    assert (await site.record(dispatch_id)).retries == 0


async def _is_unknown(site: Site, dispatch_id: str) -> bool:
    record = await site.record(dispatch_id)
    return record.status is JobStatus.PENDING and record.token > 0


async def test_a_scheduled_job_starts_when_it_is_due(site: Site) -> None:
    await site.worker(on=site.make_transport(poll_interval=HARDLY_EVER_MS))
    record = await site.run("Note", 1, delay_ms=400)
    assert record.scheduled_for_ms is not None
    assert record.started_at_ms is not None
    assert record.started_at_ms >= record.scheduled_for_ms


async def test_an_idle_worker_is_woken(site: Site) -> None:
    await site.worker(on=site.make_transport(poll_interval=HARDLY_EVER_MS))
    for i in range(5):
        await site.run("Note", i)


async def test_a_failure_for_good_pauses_a_queue_that_is_to_be_paused(site: Site) -> None:
    await site.worker(concurrency=1, pause_on_error=True)
    await site.run("Raise", "Fail")
    assert (await site.transport.overview(QUEUE)).gates.paused
    waiting = await site.dispatch("Note", 1)
    await site.transport.gate(QUEUE, paused=False)
    assert (await site.until(waiting)).status is JobStatus.COMPLETED


async def test_nothing_starts_on_a_paused_queue_and_all_goes_on_after(site: Site) -> None:
    await site.worker()
    running = await site.dispatch("Gate")
    await site.noted("begin door")
    await site.transport.gate(QUEUE, paused=True)
    waiting = await site.dispatch("Note", 1)
    BOARD.open_all()
    assert (await site.until(running)).status is JobStatus.COMPLETED
    assert (await site.record(waiting)).status is JobStatus.PENDING
    await site.transport.gate(QUEUE, paused=False)
    assert (await site.until(waiting)).status is JobStatus.COMPLETED


@pytest.mark.parametrize("name", ["Gate", "GateInThread"])
async def test_a_run_over_its_time_is_retried_and_then_fails(site: Site, name: str) -> None:
    await site.worker(max_retries=1)
    record = await site.run(name, timeout_ms=60)
    assert (record.status, record.retries) == (JobStatus.FAILED, 1)
    assert record.error == "TimeoutError: it ran longer than its timeout of 60 ms"
    assert BOARD.notes.count("begin door") == 2


async def test_the_retry_of_a_thread_out_of_time_waits_until_its_code_has_ended(site: Site) -> None:
    await site.worker(concurrency=1, max_retries=1)
    dispatch_id = await site.dispatch("GateInThread", "door", True, timeout_ms=60)
    other = await site.dispatch("Note", "other")
    record = await site.until(dispatch_id, JobStatus.SCHEDULED_FOR_RETRY)
    assert record.retries == 1
    await asyncio.sleep(0.2)
    # Neither the retry nor the other job has its slot.
    assert BOARD.notes == ["begin door"]
    BOARD.doors["door"].set()
    await site.until(other)
    assert (await site.until(dispatch_id)).status is JobStatus.COMPLETED


async def test_a_task_that_swallows_its_time_out_keeps_its_slot_until_it_ends(site: Site) -> None:
    await site.worker(concurrency=1, max_retries=0)
    dispatch_id = await site.dispatch("Stubborn", timeout_ms=60)
    other = await site.dispatch("Note", "other")
    assert (await site.until(dispatch_id)).status is JobStatus.FAILED
    assert "other" not in BOARD.notes
    BOARD.open_all()
    assert (await site.until(other)).status is JobStatus.COMPLETED
    assert (await site.record(dispatch_id)).status is JobStatus.FAILED


async def test_a_blocked_event_loop_is_told_with_job_and_line(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    await site.worker()
    await site.run("Block", 1.6)
    [warning] = [record.getMessage() for record in caplog.records if "blocked the event loop" in record.getMessage()]
    assert "Block dispatch-1" in warning
    assert "jobs.py, line " in warning
    assert "in execute" in warning


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_code_that_does_not_end_is_told_and_counted(
    site: Site, how: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heracles.worker.watchdog.DEAF_S", 0.1)
    await site.worker()
    fields: dict[str, Any] = {"timeout_ms": 50} if how == "timed out" else {}
    deaf = await site.dispatch("GateInThread", "door", True, **fields)
    await site.dispatch("Gate", "other")
    await site.noted("begin door", "begin other")
    if how == "cancelled":
        await site.transport.cancel(QUEUE, [deaf])
    said = await eventually(lambda: [line for line in caplog.messages if "told to end" in line])
    assert f"GateInThread {deaf} goes on" in said[0]
    assert f"({how})" in said[0]
    assert "one of 1 such among 2 running jobs" in said[0]
    assert (await site.run("Note", 1)).status is JobStatus.COMPLETED
    assert len([line for line in caplog.messages if "told to end" in line]) == 1


async def test_the_log_has_the_traceback_of_a_failure(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    await site.worker(max_retries=0)
    await site.run("Raise", "ValueError")
    [line] = [record for record in caplog.records if "failed for good" in record.getMessage()]
    assert line.exc_text is not None
    assert "Traceback" in line.exc_text
    assert line.dispatch_id == "dispatch-1"  # type: ignore[attr-defined]  # from extra


async def test_many_jobs_of_an_unknown_name_are_told_of_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    await site.worker()
    for dispatch_id in [await site.dispatch("NobodyKnows", number) for number in range(20)]:
        await eventually(partial(_was_started, site, dispatch_id))
    told = [record for record in caplog.records if "is not registered in this worker" in record.getMessage()]
    assert len(told) == 1
    assert (told[0].levelname, told[0].__dict__["job_name"]) == ("WARNING", "NobodyKnows")


async def _was_started(site: Site, dispatch_id: str) -> bool:
    return (await site.record(dispatch_id)).token > 0
