"""Many awaits become few calls."""

import asyncio
from collections.abc import Sequence

import pytest

from heracles.batching import Coalescer
from tests.waiting import eventually


class Calls:
    """Doubles numbers, one call after the other, when it is let."""

    def __init__(self, *, free: bool = True) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Semaphore(1_000_000 if free else 0)
        self.error: Exception | None = None

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        await self.go.acquire()
        if self.error:
            raise self.error
        return [2 * item for item in items]


async def test_what_is_ready_together_goes_in_one_call() -> None:
    calls = Calls()
    joined = Coalescer(calls, most=100, backlog=1000)
    assert await asyncio.gather(*(joined.submit(n) for n in range(50))) == [2 * n for n in range(50)]
    assert calls.batches == [list(range(50))]


async def test_what_comes_during_a_call_goes_in_the_next() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=3, backlog=1000)
    first = asyncio.create_task(joined.submit(0))
    await eventually(lambda: calls.batches)
    rest = [asyncio.create_task(joined.submit(n)) for n in range(1, 6)]
    for _ in range(3):
        calls.go.release()
    assert await asyncio.gather(first, *rest) == [0, 2, 4, 6, 8, 10]
    assert calls.batches == [[0], [1, 2, 3], [4, 5]]


async def test_an_error_goes_to_each_caller_of_its_call_alone() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=2, backlog=1000)
    tasks = [asyncio.create_task(joined.submit(n)) for n in range(3)]
    await eventually(lambda: calls.batches)
    calls.error = ValueError("no")
    calls.go.release()
    await eventually(lambda: len(calls.batches) == 2)
    calls.error = None
    calls.go.release()
    first, second, third = await asyncio.gather(*tasks, return_exceptions=True)
    assert (str(first), str(second), third) == ("no", "no", 4)


async def test_a_caller_cancelled_before_its_call_takes_its_item_back() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=10, backlog=1000)
    tasks = [asyncio.create_task(joined.submit(n)) for n in range(3)]
    await eventually(lambda: calls.batches)
    late = [asyncio.create_task(joined.submit(n)) for n in (7, 8)]
    await asyncio.sleep(0)
    late[0].cancel()
    calls.go.release()
    calls.go.release()
    assert await asyncio.gather(*tasks, late[1]) == [0, 2, 4, 16]
    assert calls.batches == [[0, 1, 2], [8]]


async def test_a_caller_cancelled_during_its_call_harms_no_other() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=10, backlog=1000)
    tasks = [asyncio.create_task(joined.submit(n)) for n in range(3)]
    await eventually(lambda: calls.batches)
    tasks[0].cancel()
    await asyncio.sleep(0)
    calls.go.release()
    assert await asyncio.gather(*tasks[1:]) == [2, 4]
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]


async def test_callers_beyond_the_backlog_wait_their_turn() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=2, backlog=4)
    tasks = [asyncio.create_task(joined.submit(n)) for n in range(20)]
    await eventually(lambda: calls.batches)
    await asyncio.sleep(0)
    assert len(joined._waiting) <= 4
    for _ in range(10):
        calls.go.release()
    assert await asyncio.gather(*tasks) == [2 * n for n in range(20)]
    assert sorted(item for batch in calls.batches for item in batch) == list(range(20))
    assert max(map(len, calls.batches)) == 2


def test_a_loop_that_ends_cancels_who_waits() -> None:
    async def leave() -> list[asyncio.Task[int]]:
        joined = Coalescer(Calls(free=False), most=2, backlog=4)
        tasks = [asyncio.create_task(joined.submit(n)) for n in range(3)]
        await asyncio.sleep(0.01)
        return tasks

    tasks = asyncio.run(leave())
    assert [task.cancelled() for task in tasks] == [True] * 3
