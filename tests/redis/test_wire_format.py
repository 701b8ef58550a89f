"""What stands in Redis, bit by bit: other programs and people read it."""

import asyncio
import json
import re

from heracles.model import JobStatus, ReportKind
from heracles.units import new_id, now_ms, to_iso
from tests.conformance.driver import LATER_MS, Driver, envelope
from tests.redis.conftest import Behind, MakeDriver

ISO = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z"
MESSAGE = r"\d+-\d+"


async def test_an_entry_has_four_fields_in_order(driver: Driver, behind: Behind) -> None:
    made = await driver.put(args=b'["a@example.com"]')
    assert behind.entries("stream:emails") == [
        [
            ("job", "elysium.heracles.job.SendEmail"),
            ("args", '["a@example.com"]'),
            ("jobId", made.job_id),
            ("dispatchId", made.dispatch_id),
        ]
    ]


async def test_keyword_arguments_and_options_stand_behind(driver: Driver, behind: Behind) -> None:
    await driver.put(
        "d-1", kwargs=b'{"a":1}', max_retries=5, retry_delay_ms=10_000, timeout_ms=7, overlap_delay_ms=0, status_ttl_s=9
    )
    (entry,) = behind.entries("stream:emails")
    assert [name for name, _ in entry] == ["job", "args", "jobId", "dispatchId", "kwargs", "options"]
    assert dict(entry)["kwargs"] == '{"a":1}'
    assert json.loads(dict(entry)["options"]) == {
        "maxRetries": 5,
        "retryDelay": 10_000,
        "timeout": 7,
        "overlapDelay": 0,
        "statusTtl": 9,
    }


async def test_other_priorities_have_streams_of_their_own(driver: Driver, behind: Behind) -> None:
    await driver.put("d-1", priority=5)
    await driver.put("d-2", priority=0)
    await driver.put("d-3", priority=10)
    assert [name for name in behind.names() if name.startswith("stream:")] == [
        "stream:emails",
        "stream:emails:p0",
        "stream:emails:p5",
    ]
    assert "priority" not in dict(behind.entries("stream:emails:p5")[0])


async def test_a_waiting_job_has_a_short_hash(driver: Driver, behind: Behind) -> None:
    shared = new_id()
    await driver.put(f"dispatch_{shared}", job_id=f"job_{shared}")
    name = f"status:emails:job_{shared}:dispatch_{shared}"
    found = behind.hash(name)
    assert sorted(found) == ["createdAt", "messageId", "status"]
    assert found["status"] == "pending"
    assert re.fullmatch(ISO, found["createdAt"])
    assert re.fullmatch(MESSAGE, found["messageId"])
    assert behind.ttl(name) == -1


async def test_scheduled_jobs_stand_outside_the_stream(driver: Driver, behind: Behind) -> None:
    due_ms = now_ms() + LATER_MS
    await driver.put("d-1", job_id="j", scheduled_for_ms=due_ms)
    assert behind.entries("stream:emails") == []
    found = behind.hash("status:emails:j:d-1")
    assert (found["status"], found["scheduledFor"]) == ("pending", to_iso(due_ms))
    assert "messageId" not in found
    assert behind.command("ZRANGE", behind.key("scheduled:emails"), 0, -1, "WITHSCORES") == [
        b"d-1:j",
        str(due_ms).encode(),
    ]


async def test_a_running_job_shows_who_runs_it(driver: Driver, behind: Behind) -> None:
    await driver.put_running("d-1", job_id="j")
    found = behind.hash("status:emails:j:d-1")
    assert found["status"] == "running"
    assert found["worker"] == "worker-1"
    assert (found["token"], found["retries"]) == ("1", "0")
    assert re.fullmatch(ISO, found["startedAt"])
    assert re.fullmatch(ISO, found["updatedAt"])
    assert behind.ttl("status:emails:j:d-1") == -1


async def test_a_completed_job_keeps_its_record_for_a_day(driver: Driver, behind: Behind) -> None:
    await driver.finish(await driver.put_running("d-1", job_id="j"), result=b'"done"')
    found = behind.hash("status:emails:j:d-1")
    assert (found["status"], found["result"], found["name"]) == ("completed", '"done"', "SendEmail")
    assert re.fullmatch(ISO, found["completedAt"])
    assert "error" not in found
    assert 86_000 < behind.ttl("status:emails:j:d-1") <= 86_400
    assert len(behind.entries("stream:emails")) == 1, "finished entries stay until they are trimmed"


async def test_a_status_ttl_of_its_own_counts(make_driver: MakeDriver, behind: Behind) -> None:
    driver = make_driver(status_ttl=500)
    await driver.finish(await driver.put_running("d-1", job_id="j"))
    await driver.finish(await driver.put_running("d-2", job_id="j"), status_ttl_s=50)
    assert 400 < behind.ttl("status:emails:j:d-1") <= 500
    assert 40 < behind.ttl("status:emails:j:d-2") <= 50


async def test_long_results_stand_beside_the_hash(driver: Driver, behind: Behind) -> None:
    await driver.finish(await driver.put_running("d-1", job_id="j"), result=b"1" * 64)
    await driver.finish(await driver.put_running("d-2", job_id="j"), result=b"1" * 65)
    assert behind.hash("status:emails:j:d-1")["result"] == "1" * 64
    assert "result" not in behind.hash("status:emails:j:d-2")
    assert behind.client.get(behind.key("result:emails:j:d-2")) == b"1" * 65
    assert 86_000 < behind.ttl("result:emails:j:d-2") <= 86_400


async def test_a_failed_job_has_error_and_traceback(driver: Driver, behind: Behind) -> None:
    first = await driver.put_running("d-1", job_id="j")
    await driver.report(first, ReportKind.FAILED, error="ValueError: no", traceback="short")
    second = await driver.put_running("d-2", job_id="j")
    await driver.report(second, ReportKind.FAILED, error="ValueError: no", traceback="x" * 100)
    found = behind.hash("status:emails:j:d-1")
    assert (found["status"], found["error"], found["traceback"]) == ("failed", "ValueError: no", "short")
    assert "traceback" not in behind.hash("status:emails:j:d-2")
    assert behind.client.get(behind.key("result:emails:j:d-2")) == b"x" * 100
    assert (await driver.find("d-1")).traceback == "short"
    assert (await driver.find("d-2")).traceback == "x" * 100


async def test_success_removes_the_error_of_a_run_before(driver: Driver, behind: Behind) -> None:
    delivery = await driver.put_running("d-1", job_id="j")
    await driver.report(delivery, ReportKind.RETRY, error="ValueError: no", traceback="x" * 100)
    found = behind.hash("status:emails:j:d-1")
    assert (found["status"], found["retries"], found["error"]) == ("scheduled_for_retry", "1", "ValueError: no")
    assert re.fullmatch(ISO, found["scheduledFor"])
    await driver.finish(await driver.start_one())
    found = behind.hash("status:emails:j:d-1")
    assert (found["status"], found["retries"]) == ("completed", "1")
    assert not {"error", "traceback"} & {*found}
    assert behind.ttl("result:emails:j:d-1") == -2


async def test_the_lock_is_the_dispatch_that_runs(make_driver: MakeDriver, behind: Behind) -> None:
    driver = make_driver(lease=30_000)
    delivery = await driver.put_running("d-1", job_id="j", no_overlap=True)
    await driver.put("d-2", job_id="j", no_overlap=True)
    assert behind.client.get(behind.key("lock:emails:j")) == b"d-1"
    assert 20 < behind.ttl("lock:emails:j") <= 30
    assert len(behind.entries("stream:emails")) == 1, "who waits for a lock stands outside"
    await driver.finish(delivery)
    assert behind.ttl("lock:emails:j") == -2
    assert len(behind.entries("stream:emails")) == 2


async def test_a_worker_has_a_record_that_expires(driver: Driver, behind: Behind) -> None:
    await driver.transport.beat(driver.session, ["emails", "notifications"], "running", [])
    found = behind.hash("worker:worker-1")
    assert (found["id"], found["status"], found["queues"]) == ("worker-1", "running", "emails,notifications")
    assert re.fullmatch(ISO, found["lastSeen"])
    assert 50 < behind.ttl("worker:worker-1") <= 60
    await driver.transport.retire(driver.session, ["emails", "notifications"])
    assert behind.ttl("worker:worker-1") == -2


async def test_the_record_of_a_worker_is_at_no_time_without_its_end(driver: Driver, behind: Behind) -> None:
    await driver.beat()

    async def many() -> None:
        for _ in range(100):
            await driver.beat()

    beating = asyncio.create_task(many())
    seen = set()
    while not beating.done():
        seen.add(await asyncio.to_thread(behind.ttl, "worker:worker-1") > 0)
    await beating
    assert seen == {True}, "one killed in between would be shown for ever"


async def test_a_worker_that_started_again_keeps_its_record(driver: Driver, behind: Behind) -> None:
    other = Driver(driver.transport)
    await driver.beat()
    await other.beat()
    await driver.transport.retire(driver.session, ["emails"])
    assert behind.hash("worker:worker-1")["id"] == "worker-1"


async def test_generated_ids_need_no_index(driver: Driver, behind: Behind) -> None:
    await driver.put_all([envelope() for _ in range(3)])
    assert not [name for name in behind.names() if name.startswith(("dispatch:", "jobs:"))]


async def test_only_finished_entries_are_trimmed(make_driver: MakeDriver, behind: Behind) -> None:
    driver = make_driver(max_stream_size=10)
    await driver.put_all([envelope() for _ in range(60)])
    for delivery in await driver.start(40):
        await driver.finish(delivery)
    entries = behind.entries("stream:emails")
    assert len(entries) == 10 + 20
    assert (await driver.counts()) == {"PENDING": 20, "COMPLETED": 40}


async def test_nothing_is_trimmed_without_cleanup(make_driver: MakeDriver, behind: Behind) -> None:
    driver = make_driver(max_stream_size=10, cleanup_completed_jobs=False)
    await driver.put_all([envelope() for _ in range(30)])
    for delivery in await driver.start(30):
        await driver.finish(delivery)
    await driver.transport.maintain("emails")
    assert len(behind.entries("stream:emails")) == 30


async def test_arguments_of_failed_and_cancelled_jobs_outlive_their_entry(
    make_driver: MakeDriver, behind: Behind
) -> None:
    driver = make_driver(max_stream_size=0)
    await driver.report(await driver.put_running("d-1", args=b"[1]"), ReportKind.FAILED, error="no")
    await driver.put("d-2", args=b"[2]")
    await driver.cancel("d-2")
    await driver.finish(await driver.put_running("d-3", args=b"[3]"))
    assert behind.entries("stream:emails") == []
    for name, args in (("d-1", b"[1]"), ("d-2", b"[2]")):
        made = (await driver.find(name)).envelope
        assert made is not None
        assert made.args == args
    assert (await driver.find("d-3")).envelope is None
    payloads = [name for name in behind.names() if name.startswith("payload:")]
    assert len(payloads) == 2
    assert all(0 < behind.ttl(name) <= 86_400 for name in payloads)


async def test_a_consumer_group_and_name_can_be_given(make_driver: MakeDriver, behind: Behind) -> None:
    driver = make_driver(consumer_group="team", consumer_name="me")
    delivery = await driver.put_running("d-1")
    (group,) = behind.command("XINFO", "GROUPS", behind.key("stream:emails"))
    assert group[1] == b"team"
    (consumer,) = behind.command("XINFO", "CONSUMERS", behind.key("stream:emails"), "team")
    assert consumer[1] == b"me"
    assert await driver.transport.recover("emails", driver.session, []) == [delivery]
    assert await driver.transport.recover("emails", Driver(driver.transport).session, []) == []
    await driver.finish(delivery)
    assert await driver.status("d-1") is JobStatus.COMPLETED
