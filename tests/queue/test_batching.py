"""Many awaits become few calls."""

import asyncio
from collections.abc import Sequence

import pytest

from heracles.batching import WORTH_A_CALL, Coalescer, overlapped
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


async def submitted(joined: Coalescer[int, int], item: int) -> int:
    return await joined.submit(item)


async def test_what_is_ready_together_goes_in_one_call() -> None:
    calls = Calls()
    joined = Coalescer(calls, most=100, backlog=1000)
    assert await asyncio.gather(*(joined.submit(n) for n in range(40))) == [2 * n for n in range(40)]
    assert calls.batches == [list(range(40))]


async def test_many_that_are_ready_together_go_in_two_calls_at_once() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=100, backlog=1000)
    tasks = [asyncio.create_task(submitted(joined, n)) for n in range(100)]
    await eventually(lambda: len(calls.batches) == 2)
    assert calls.batches == [list(range(50)), list(range(50, 100))]
    more = [asyncio.create_task(submitted(joined, n)) for n in range(100, 200)]
    # The first call ends, the second is under way: those that came meanwhile need not wait for it.
    calls.go.release()
    await eventually(lambda: len(calls.batches) == 3)
    assert calls.batches[2] == list(range(100, 200))
    calls.go.release()
    calls.go.release()
    assert await asyncio.gather(*tasks, *more) == [2 * n for n in range(200)]


async def test_few_wait_for_the_call_under_way() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=100, backlog=1000)
    first = asyncio.create_task(submitted(joined, 0))
    await eventually(lambda: calls.batches)
    few = [asyncio.create_task(submitted(joined, n)) for n in range(1, WORTH_A_CALL)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert calls.batches == [[0]]
    one_more = asyncio.create_task(submitted(joined, WORTH_A_CALL))
    await eventually(lambda: len(calls.batches) == 2)
    calls.go.release()
    calls.go.release()
    assert await asyncio.gather(first, *few, one_more) == [2 * n for n in range(WORTH_A_CALL + 1)]


async def test_who_calls_alone_again_makes_the_call_in_its_own_task() -> None:
    tasks: list[asyncio.Task[object] | None] = []

    async def call(items: Sequence[int]) -> Sequence[int]:
        tasks.append(asyncio.current_task())
        return items

    joined = Coalescer(call, most=10, backlog=100)
    assert [await joined.submit(n) for n in range(3)] == [0, 1, 2]
    assert [task is asyncio.current_task() for task in tasks] == [False, True, True]


async def alone(calls: Calls, joined: Coalescer[int, int]) -> None:
    """So that the next caller makes its call itself."""
    calls.go.release()
    assert await joined.submit(0) == 0


async def test_a_caller_cancelled_in_its_own_call_harms_no_other() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=10, backlog=100)
    await alone(calls, joined)
    first = asyncio.create_task(submitted(joined, 1))
    await eventually(lambda: len(calls.batches) == 2)
    rest = [asyncio.create_task(submitted(joined, n)) for n in (2, 3)]
    await asyncio.sleep(0)
    first.cancel()
    calls.go.release()
    assert await asyncio.gather(*rest) == [4, 6]
    assert first.cancelled()
    assert calls.batches == [[0], [1], [2, 3]]


async def test_an_error_of_its_own_call_goes_to_that_caller_alone() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=10, backlog=100)
    await alone(calls, joined)
    first = asyncio.create_task(submitted(joined, 1))
    await eventually(lambda: len(calls.batches) == 2)
    second = asyncio.create_task(submitted(joined, 2))
    await asyncio.sleep(0)
    calls.error = ValueError("no")
    calls.go.release()
    await asyncio.wait([first])
    calls.error = None
    calls.go.release()
    assert await second == 4
    assert str(first.exception()) == "no"


async def test_callers_beyond_the_backlog_wait_for_the_end_of_somebodys_own_call() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=10, backlog=2)
    await alone(calls, joined)
    tasks = [asyncio.create_task(submitted(joined, n)) for n in range(6)]
    await eventually(lambda: len(calls.batches) == 2)
    await asyncio.sleep(0)
    assert len(joined._waiting) == 2
    for _ in range(6):
        calls.go.release()
    assert await asyncio.gather(*tasks) == [2 * n for n in range(6)]


async def test_where_calls_do_not_overlap_one_is_under_way_at_a_time() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=100, backlog=1000, overlaps=False)
    tasks = [asyncio.create_task(submitted(joined, n)) for n in range(2 * WORTH_A_CALL)]
    await eventually(lambda: calls.batches)
    tasks += [asyncio.create_task(submitted(joined, n)) for n in range(WORTH_A_CALL)]
    await eventually(lambda: len(joined._waiting) == WORTH_A_CALL)
    assert [len(batch) for batch in calls.batches] == [2 * WORTH_A_CALL]
    calls.go.release()
    calls.go.release()
    await asyncio.gather(*tasks)
    assert [len(batch) for batch in calls.batches] == [2 * WORTH_A_CALL, WORTH_A_CALL]


async def test_what_comes_during_a_call_goes_in_the_next() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=3, backlog=1000)
    first = asyncio.create_task(submitted(joined, 0))
    await eventually(lambda: calls.batches)
    rest = [asyncio.create_task(submitted(joined, n)) for n in range(1, 6)]
    for _ in range(3):
        calls.go.release()
    assert await asyncio.gather(first, *rest) == [0, 2, 4, 6, 8, 10]
    assert calls.batches == [[0], [1, 2, 3], [4, 5]]


async def test_an_error_goes_to_each_caller_of_its_call_alone() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=2, backlog=1000)
    tasks = [asyncio.create_task(submitted(joined, n)) for n in range(3)]
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
    tasks = [asyncio.create_task(submitted(joined, n)) for n in range(3)]
    await eventually(lambda: calls.batches)
    late = [asyncio.create_task(submitted(joined, n)) for n in (7, 8)]
    await asyncio.sleep(0)
    late[0].cancel()
    calls.go.release()
    calls.go.release()
    assert await asyncio.gather(*tasks, late[1]) == [0, 2, 4, 16]
    assert calls.batches == [[0, 1, 2], [8]]


async def test_a_caller_cancelled_during_its_call_harms_no_other() -> None:
    calls = Calls(free=False)
    joined = Coalescer(calls, most=10, backlog=1000)
    tasks = [asyncio.create_task(submitted(joined, n)) for n in range(3)]
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
    tasks = [asyncio.create_task(submitted(joined, n)) for n in range(20)]
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
        tasks = [asyncio.create_task(submitted(joined, n)) for n in range(3)]
        await asyncio.sleep(0.01)
        return tasks

    tasks = asyncio.run(leave())
    assert [task.cancelled() for task in tasks] == [True] * 3


class Parts:
    """Answers a part with itself, when it is let, and knows which are under way."""

    def __init__(self) -> None:
        self.begun: list[Sequence[int]] = []
        self.cancelled: list[Sequence[int]] = []
        self.go: dict[int, asyncio.Future[None]] = {}

    async def __call__(self, part: Sequence[int]) -> Sequence[int]:
        self.begun.append(part)
        let = self.go[part[0]] = asyncio.get_running_loop().create_future()
        try:
            await let
        except asyncio.CancelledError:
            self.cancelled.append(part)
            raise
        return part


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_so_many_parts_are_under_way_and_are_answered_in_order(most: int) -> None:
    parts = Parts()
    all_of_them = [[n, n + 10] for n in range(5)]
    task = asyncio.create_task(overlapped(parts, all_of_them, most=most))
    for done in range(5):
        await eventually(lambda done=done: len(parts.begun) == min(done + most, 5))  # type: ignore[misc]  # bound
        parts.go[done].set_result(None)
    assert await task == [0, 10, 1, 11, 2, 12, 3, 13, 4, 14]
    assert parts.begun == all_of_them


async def test_the_answer_of_a_later_part_waits_for_the_first() -> None:
    parts = Parts()
    task = asyncio.create_task(overlapped(parts, [[0], [1], [2]]))
    await eventually(lambda: len(parts.begun) == 2)
    parts.go[1].set_result(None)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(parts.begun) == 2
    parts.go[0].set_result(None)
    await eventually(lambda: len(parts.begun) == 3)
    parts.go[2].set_result(None)
    assert await task == [0, 1, 2]


async def test_after_a_part_that_failed_none_is_begun_and_the_other_is_cancelled() -> None:
    parts = Parts()
    task = asyncio.create_task(overlapped(parts, [[0], [1], [2]]))
    await eventually(lambda: len(parts.begun) == 2)
    parts.go[0].set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await task
    assert (parts.begun, parts.cancelled) == ([[0], [1]], [[1]])


async def test_a_caller_cancelled_in_the_midst_cancels_all_parts() -> None:
    parts = Parts()
    task = asyncio.create_task(overlapped(parts, [[0], [1], [2]]))
    await eventually(lambda: len(parts.begun) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (parts.begun, parts.cancelled) == ([[0], [1]], [[0], [1]])


async def test_no_parts_have_no_answers() -> None:
    assert await overlapped(Parts(), []) == []
