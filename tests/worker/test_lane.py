"""When a lane asks the store."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from heracles.worker.executor import Executor
from heracles.worker.held import HeldJobs
from heracles.worker.lane import Crew, Lane
from heracles.worker.plan import QueueSettings
from heracles.worker.slots import Slots, Suspects
from tests.waiting import DEADLINE_S


class _Clock:
    """A loop whose clock shows one time after the other, and whose timers fire at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *times: float) -> None:
        self._loop = loop
        self._times = list(times)

    def time(self) -> float:
        return self._times.pop(0) if len(self._times) > 1 else self._times[0]

    def call_at(self, when: float, callback: Callable[[], Any]) -> asyncio.Handle:
        return self._loop.call_soon(callback)


def _lane() -> Lane:
    crew = Crew(cast(Executor, None), Slots(None), Suspects())
    return Lane("queue", QueueSettings([]), 1, HeldJobs(), crew)


async def test_a_time_to_look_that_comes_just_after_the_clock_was_read_is_not_missed() -> None:
    lane = _lane()
    # Its slots were taken to ask the store, whose answer had nothing; it is to look again at 10.
    lane.return_slots(lane.take_slots())
    lane._loop = cast(asyncio.AbstractEventLoop, _Clock(asyncio.get_running_loop(), 9.0, 9.999, 10.001))
    lane.look_within(1.0)

    async with asyncio.timeout(DEADLINE_S):
        await lane.until_reason()


async def test_a_lane_looks_at_once_when_it_is_told_to() -> None:
    lane = _lane()
    lane.return_slots(lane.take_slots())
    waiting = asyncio.create_task(lane.until_reason())
    await asyncio.sleep(0)
    assert not waiting.done()

    lane.look()

    async with asyncio.timeout(DEADLINE_S):
        await waiting
