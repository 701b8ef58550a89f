"""The short way that plain jobs take through the scripts: what it does without looking at all of a record."""

import pytest

from tests.conformance.driver import Driver, envelope
from tests.redis.conftest import Behind


@pytest.mark.parametrize("priority", [10, 5])
async def test_an_entry_is_done_with_that_its_record_has_forgotten(
    driver: Driver, behind: Behind, priority: int
) -> None:
    await driver.put_all([envelope(priority=priority)])
    delivery = await driver.start_one()
    record = f"status:emails:{delivery.envelope.job_id}:{delivery.envelope.dispatch_id}"
    message = behind.hash(record)["messageId"]
    behind.command("HDEL", behind.key(record), "messageId", "priority")
    await driver.finish(delivery)
    stream = "stream:emails" if priority == 10 else f"stream:emails:p{priority}"
    assert behind.command("XPENDING", behind.key(stream), "workers")[0] == 0
    ended = behind.command("LRANGE", behind.key(f"ended:emails:p{priority}"), 0, -1)
    assert [item.decode().split(":")[0] for item in ended] == [message]


async def test_a_record_that_was_made_anew_is_not_taken_for_one_of_a_first_start(
    driver: Driver, behind: Behind
) -> None:
    job = envelope(delay_ms=50)
    await driver.put_all([job])
    behind.delete(f"status:emails:{job.job_id}:{job.dispatch_id}")
    # What ran before the record was removed may have had any low token.
    assert (await driver.start_one()).token > 1000


@pytest.mark.parametrize("count", [8, 40])
async def test_leases_of_many_jobs_are_not_walked_through(driver: Driver, behind: Behind, count: int) -> None:
    await driver.put_all([envelope() for _ in range(count)])
    started = await driver.start(count)
    leases = behind.key("leases:emails")
    assert behind.command("OBJECT", "ENCODING", leases) == b"skiplist"
    refs = {f"{delivery.envelope.dispatch_id}:{delivery.envelope.job_id}" for delivery in started}
    assert {ref.decode() for ref in behind.command("ZRANGE", leases, 0, -1)} == refs
    for delivery in started:
        await driver.finish(delivery)
    assert "leases:emails" not in behind.names()
