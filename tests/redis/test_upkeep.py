"""Passes of upkeep on a queue that is not small: in many short steps, with rests between them."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from heracles.model import Envelope
from heracles.redis.upkeep import LOOKED_AT_A_CALL
from heracles.redis.walking import RESTS_A_STEP, Pace
from tests.conformance.driver import LATER_MS, Driver, envelope, ids
from tests.redis.conftest import Behind
from tests.waiting import eventually

MANY = 4 * LOOKED_AT_A_CALL + 1


async def put_many(driver: Driver, **fields: object) -> Sequence[Envelope]:
    made = [envelope(**fields) for _ in range(MANY)]
    await driver.put_all(made)
    return made


def scripts_run(behind: Behind) -> int:
    stats = behind.client.info("commandstats")
    return int(stats["cmdstat_evalsha"]["calls"])


async def test_a_rest_is_in_proportion_to_its_step() -> None:
    pace = Pace()
    await asyncio.sleep(0.005)
    began = time.monotonic()
    await pace.rest()
    assert time.monotonic() - began >= 0.005 * RESTS_A_STEP * 0.9


@pytest.mark.parametrize("fields", [{}, {"delay_ms": LATER_MS}, {"job_id": "j", "no_overlap": True}])
async def test_a_pass_goes_in_short_steps(driver: Driver, behind: Behind, fields: dict[str, object]) -> None:
    await put_many(driver, **fields)
    before = scripts_run(behind)
    await driver.transport.maintain("emails")
    assert scripts_run(behind) - before > MANY / LOOKED_AT_A_CALL
    assert await driver.counts() == {"PENDING": MANY}


async def test_a_pass_over_large_entries_looks_at_all(driver: Driver, behind: Behind) -> None:
    for _ in range(6):
        await driver.put_all([envelope(args=b'["' + b"x" * 400_000 + b'"]')])
    made = [await driver.put() for _ in range(6)]
    for each in made:
        behind.command("HSET", behind.key(f"status:emails:{each.job_id}:{each.dispatch_id}"), "messageId", "5-5")
    await driver.transport.maintain("emails")
    assert await driver.counts() == {"PENDING": 6, "FAILED": 6}


async def test_a_removed_set_is_made_anew_by_one_pass(driver: Driver, behind: Behind) -> None:
    made = await put_many(driver, delay_ms=LATER_MS)
    behind.delete("scheduled:emails")
    await driver.transport.maintain("emails")
    assert sorted(ids(await driver.start(MANY))) == sorted(each.dispatch_id for each in made)


async def test_a_removed_stream_is_looked_after_at_once_and_whole(driver: Driver, behind: Behind) -> None:
    await put_many(driver)
    behind.delete("stream:emails")
    await driver.start()

    async def have_ended() -> bool:
        return await driver.counts() == {"FAILED": MANY}

    await eventually(have_ended)


async def test_what_moves_on_meanwhile_is_not_put_right(driver: Driver, behind: Behind) -> None:
    first = await driver.put_running("d-1", job_id="j", no_overlap=True)
    await driver.put("d-2", job_id="j", no_overlap=True)
    refs = behind.command("ZRANGE", behind.key("waiting:emails"), 0, -1)
    await driver.finish(first)
    answer = await driver.transport._store.run("audit_places", "emails", "waiting", *refs)  # type: ignore[attr-defined]
    assert answer == [0, []]
    assert ids(await driver.start()) == ["d-2"]
