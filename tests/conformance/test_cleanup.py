"""``Transport.cleanup``: what each rule removes, and that a dry run only tells."""

import pytest

from heracles.model import CleanupRules, JobStatus, ReportKind, Swept, Verdict
from heracles.units import now_ms
from tests.conformance.driver import LATER_MS, Driver, envelope, ids, next_ms, report_on
from tests.waiting import eventually

FINISHED = [f"done-{number}" for number in range(6)]
UNFINISHED = ["running", "retry", "ready", "scheduled", "second"]


async def _fill(driver: Driver) -> None:
    """Six finished jobs (four COMPLETED, a FAILED, a CANCELLED), six unfinished; all finished some ms ago."""
    for name in FINISHED[:4]:
        await driver.finish(await driver.put_running(name), result=b"1")
    await driver.report(await driver.put_running(FINISHED[4]), ReportKind.FAILED, error="Boom: x")
    await driver.put(FINISHED[5])
    await driver.cancel(FINISHED[5])
    await driver.report(await driver.put_running("retry"), ReportKind.RETRY, delay_ms=LATER_MS)
    await driver.put_running("running", job_id="j", no_overlap=True)
    await driver.put("second", job_id="j", no_overlap=True)
    await driver.put("ready")
    await driver.put("scheduled", delay_ms=LATER_MS)
    last_ms = now_ms()
    await eventually(lambda: now_ms() > last_ms + 5)


async def _known(driver: Driver, names: list[str]) -> list[str]:
    return [name for name in names if await driver.transport.find(driver.queue, name) is not None]


async def _with_entry(driver: Driver, names: list[str]) -> list[str]:
    return [name for name in names if (await driver.find(name)).envelope is not None]


async def _cleanup(driver: Driver, **rules: object) -> Swept:
    """The real run; a dry run before it has to tell the same and change nothing."""
    before = await driver.transport.page(driver.queue, None, 1000)
    counts, cursor = await driver.counts(), await driver.cursor()
    told = await driver.transport.cleanup(driver.queue, CleanupRules(dry_run=True, **rules))  # type: ignore[arg-type]
    assert await driver.transport.page(driver.queue, None, 1000) == before
    assert (await driver.counts(), await driver.changes(cursor)) == (counts, [])
    swept = await driver.transport.cleanup(driver.queue, CleanupRules(**rules))  # type: ignore[arg-type]
    assert swept == told
    return swept


async def test_what_finished_longer_ago_than_the_retention_goes(driver: Driver) -> None:
    await _fill(driver)
    counts = await driver.counts()
    swept = await _cleanup(driver, retention_s=0)
    assert (swept.records, swept.cancelled) == (6, 0)
    assert await _known(driver, FINISHED) == []
    assert await _known(driver, UNFINISHED) == UNFINISHED
    assert await driver.counts() == counts, "totals stay"


async def test_what_finished_within_the_retention_stays(driver: Driver) -> None:
    await _fill(driver)
    assert await _cleanup(driver, retention_s=3600) == Swept()
    assert await _known(driver, FINISHED) == FINISHED
    assert len(await _with_entry(driver, FINISHED)) == 6


async def test_entries_over_the_number_go_and_records_stay(driver: Driver) -> None:
    await _fill(driver)
    swept = await _cleanup(driver, max_entries=2)
    assert (swept.records, swept.cancelled) == (0, 0)
    assert swept.entries > 0
    assert await _known(driver, FINISHED) == FINISHED
    kept = await _with_entry(driver, FINISHED)
    assert FINISHED[0] not in kept
    assert len([name for name in kept if name in FINISHED[:4]]) <= 2
    assert {*FINISHED[4:]} <= {*kept}, "failed and cancelled ones keep their arguments"
    assert await _with_entry(driver, UNFINISHED) == UNFINISHED


async def test_the_number_holds_for_the_queue_whatever_the_priorities(driver: Driver) -> None:
    names = [f"done-{number}" for number in range(12)]
    for number, name in enumerate(names):
        await driver.put(name, priority=(5, 10, 90)[number % 3])
        await driver.finish(*await driver.start())
        # Of those that end in the same millisecond, which is the older one is nobody's to say.
        await next_ms()
    swept = await _cleanup(driver, max_entries=4)
    assert (swept.entries, swept.records) == (8, 0)
    assert await _with_entry(driver, names) == names[8:]
    assert await _cleanup(driver, max_entries=4) == Swept()


async def test_status_only_removes_records_alone(driver: Driver) -> None:
    await _fill(driver)
    swept = await _cleanup(driver, retention_s=0, max_entries=0, status_only=True)
    assert (swept.entries, swept.records, swept.cancelled) == (0, 6, 0)
    assert await _known(driver, FINISHED) == []
    assert await _known(driver, UNFINISHED) == UNFINISHED


async def test_unfinished_jobs_go_on_after_a_cleanup(driver: Driver) -> None:
    await _fill(driver)
    running = await driver.find("running")
    await _cleanup(driver, retention_s=0, max_entries=0)
    assert await driver.find("running") == running
    assert ids(await driver.start()) == ["ready"]
    assert await driver.status("retry") is JobStatus.SCHEDULED_FOR_RETRY


@pytest.mark.parametrize("status_only", [False, True])
async def test_everything_goes(driver: Driver, status_only: bool) -> None:
    await _fill(driver)
    swept = await _cleanup(driver, everything=True, status_only=status_only)
    assert swept.records == 11
    assert swept.cancelled >= 1
    assert await _known(driver, FINISHED + UNFINISHED) == []
    assert await driver.counts() == {}
    assert list(await driver.transport.page(driver.queue, None, 100)) == []
    assert await driver.start() == []


async def test_everything_cancels_what_runs(driver: Driver) -> None:
    delivery = await driver.put_running("d-1")
    swept = await driver.transport.cleanup(driver.queue, CleanupRules(everything=True))
    assert swept.cancelled == 1
    beaten = await driver.beat(delivery)
    assert driver.held(delivery) in (*beaten.lost, *beaten.cancelled)
    verdict = await driver.report(delivery, ReportKind.COMPLETED, result=b"1")
    assert verdict in {Verdict.LOST, Verdict.CANCELLED}
    assert await driver.transport.find(driver.queue, "d-1") is None
    assert await driver.counts() == {}


async def test_an_emptied_queue_starts_anew(driver: Driver) -> None:
    await _fill(driver)
    await driver.transport.cleanup(driver.queue, CleanupRules(everything=True))
    await driver.put("ready", job_id="ready-again")
    assert ids(await driver.start()) == ["ready"]
    await driver.put("done-0")
    assert await driver.counts() == {"RUNNING": 1, "PENDING": 1}


async def test_any_number_goes(driver: Driver) -> None:
    await driver.put_all([envelope(priority=number % 3) for number in range(900)])
    started = await driver.start(600)
    await driver.exchange([report_on(delivery, ReportKind.COMPLETED) for delivery in started])
    last_ms = now_ms()
    await eventually(lambda: now_ms() > last_ms + 5)
    swept = await _cleanup(driver, retention_s=0)
    assert (swept.records, swept.entries) == (600, 600)
    assert await driver.counts() == {"PENDING": 300, "COMPLETED": 600}
    swept = await _cleanup(driver, everything=True)
    assert swept.records == 300
    assert await driver.counts() == {}


async def test_other_queues_are_left_alone(driver: Driver) -> None:
    other = Driver(driver.transport, "others")
    await other.finish(await other.put_running("d-1"))
    await driver.put("d-1")
    await driver.transport.cleanup(driver.queue, CleanupRules(everything=True))
    assert await other.status("d-1") is JobStatus.COMPLETED


async def test_of_an_unused_queue_nothing_goes(driver: Driver) -> None:
    for everything in (False, True):
        assert await driver.transport.cleanup("unused", CleanupRules(everything=everything)) == Swept()
