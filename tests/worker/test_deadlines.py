"""The table of deadlines."""

import asyncio

import pytest

from heracles.worker.deadlines import Deadlines
from tests.waiting import eventually


async def test_items_expire_in_the_order_of_their_deadlines() -> None:
    expired: list[str] = []
    deadlines = Deadlines(expired.append)
    deadlines.add("late", 0.06)
    deadlines.add("early", 0.01)
    deadlines.add("between", 0.03)
    await eventually(lambda: len(expired) == 3)
    assert expired == ["early", "between", "late"]


async def test_what_was_discarded_does_not_expire() -> None:
    expired: list[str] = []
    deadlines = Deadlines(expired.append)
    deadlines.add("gone", 0.01)
    deadlines.add("stays", 0.02)
    deadlines.discard("gone")
    deadlines.discard("never there")
    await eventually(lambda: expired)
    assert expired == ["stays"]


async def test_an_item_may_be_given_more_time_when_it_expires() -> None:
    times: list[float] = []

    def again(item: str) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 3:
            deadlines.add(item, 0.01)

    deadlines = Deadlines(again)
    deadlines.add("item", 0.01)
    await eventually(lambda: len(times) == 3)


async def test_nothing_expires_after_close() -> None:
    expired: list[str] = []
    deadlines = Deadlines(expired.append)
    deadlines.add("item", 0.0)
    deadlines.close()
    await asyncio.sleep(0.01)
    assert not expired


def test_on_uvloop_deadlines_a_moment_ahead_can_follow_each_other() -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is an extra")
    expired: list[str] = []

    async def add_both() -> None:
        deadlines = Deadlines(expired.append)
        # uvloop makes no timer for less than half a millisecond.
        deadlines.add("first", 0.0004)
        deadlines.add("second", 0.0001)
        await eventually(lambda: len(expired) == 2)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(add_both())

    assert set(expired) == {"first", "second"}
