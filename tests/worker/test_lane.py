"""When a lane asks the store."""

import math
from typing import cast

from heracles.worker.executor import Executor
from heracles.worker.held import HeldJobs
from heracles.worker.lane import Crew, Lane
from heracles.worker.plan import QueueSettings
from heracles.worker.slots import Slots, Suspects


def _lane() -> Lane:
    """Its slots were taken to ask the store, whose answer had nothing."""
    crew = Crew(cast(Executor, None), Slots(None), Suspects())
    lane = Lane("queue", QueueSettings([]), 1, HeldJobs(), crew)
    lane.return_slots(lane.take_slots())
    return lane


async def test_a_lane_looks_when_it_is_time() -> None:
    lane = _lane()
    assert lane.next_look == math.inf
    lane.look_within(10.0)
    lane.look_within(20.0)
    assert not lane.has_reason(lane.next_look - 0.001)
    assert lane.has_reason(lane.next_look)


async def test_a_lane_looks_at_once_when_it_is_told_to() -> None:
    lane = _lane()
    changes: list[float] = []
    lane.watch(lambda: changes.append(lane.next_look))
    lane.look()
    assert changes == [0.0]
    assert lane.has_reason(0.0)


async def test_slots_that_are_left_are_a_reason_to_look_on() -> None:
    crew = Crew(cast(Executor, None), Slots(None), Suspects())
    lane = Lane("queue", QueueSettings([{"concurrency": 5}]), 1, HeldJobs(), crew)
    assert lane.take_slots(3) == 3
    assert lane.has_reason(0.0)
    assert lane.take_slots() == 2
    assert not lane.has_reason(math.inf)


async def test_a_lane_that_is_closed_waits_for_nothing() -> None:
    lane = _lane()
    lane.look()
    lane.close()
    assert lane.next_look == math.inf
    assert not lane.has_reason(0.0)
    assert lane.is_done
