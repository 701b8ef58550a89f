"""Many awaits become few calls."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: Items that are worth a call while another is under way: fewer wait for its end, for a call costs as much as ten of
#: them.
WORTH_A_CALL = 25
#: Calls under way at most: while the store works on one, the callers of the other make their next items.
MOST_CALLS = 2


async def overlapped(
    call: Callable[[Item], Awaitable[Sequence[Answer]]], items: Sequence[Item], *, most: int = MOST_CALLS
) -> list[Answer]:
    """What the calls for these answer, one after the other, of which up to ``most`` are under way at a time.

    They begin in order, and each before the next one does. Raises what the first that failed raised; the others that
    were under way are cancelled.
    """
    if len(items) == 1:
        return list(await call(items[0]))
    answers: list[Answer] = []
    under_way: deque[asyncio.Future[Sequence[Answer]]] = deque()
    try:
        for item in items:
            under_way.append(asyncio.ensure_future(call(item)))
            if len(under_way) == most:
                answers += await under_way.popleft()
        while under_way:
            answers += await under_way.popleft()
    finally:
        for other in under_way:
            other.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    return answers


class Coalescer(Generic[Item, Answer]):
    """Joins the items that are submitted while a call is under way into the next call, in their order.

    It belongs to the event loop that runs when it is made. With ``overlaps`` two calls are under way at most, the
    second only for many items, so that a store that slows down gets larger batches, not more of them; without, one. An
    idle one calls at once: for all that is ready now, or, where the last call was for a single item, in the task of the
    caller, who is likely to be alone again.

    A caller that is cancelled takes its item back if its call has not begun, and harms no other caller if it has.
    When ``backlog`` items wait, further callers wait before they add theirs.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        most: int,
        backlog: int,
        overlaps: bool = True,
    ) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._most = most
        self._most_calls = MOST_CALLS if overlaps else 1
        self._backlog = backlog
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._under_way = 0
        #: Whether calls will be started once all that is ready now has run.
        self._is_starting = False
        self._was_single = False
        #: The event loop refers to its tasks weakly.
        self._tasks: set[asyncio.Task[None]] = set()
        #: Done at the end of a call: for callers beyond the backlog.
        self._next_end: asyncio.Future[None] | None = None

    def submit(self, item: Item) -> Awaitable[Answer]:
        """The answer to this item, to be awaited at once, in a task; raises what its call raised."""
        # No coroutine that awaits one of these three: each level of awaiting costs every dispatch.
        if len(self._waiting) >= self._backlog:
            return self._submit_later(item)
        if self._was_single and not self._under_way and not self._waiting:
            return self._call_for(item)
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append((item, future))
        if not self._is_starting and self._under_way < self._most_calls:
            self._start_soon()
        return future

    async def _submit_later(self, item: Item) -> Answer:
        while len(self._waiting) >= self._backlog:
            await self._end_of_a_call()
        return await self.submit(item)

    async def _end_of_a_call(self) -> None:
        if self._next_end is None:
            self._next_end = self._loop.create_future()
        # Unlike awaiting it, this leaves it alone when the caller is cancelled.
        await asyncio.wait([self._next_end])

    async def _call_for(self, item: Item) -> Answer:
        self._under_way += 1
        try:
            return (await self._call([item]))[0]
        finally:
            self._ended()

    def _start_soon(self) -> None:
        if not self._is_starting and self._is_due():
            self._is_starting = True
            # After all that is ready now, which may add more items to the same call.
            self._loop.call_soon(self._start)

    def _is_due(self) -> bool:
        if not self._under_way:
            return bool(self._waiting)
        return self._under_way < self._most_calls and len(self._waiting) >= WORTH_A_CALL

    def _start(self) -> None:
        self._is_starting = False
        while self._is_due():
            batch = self._take()
            if batch:
                self._under_way += 1
                self._was_single = len(batch) == 1
                task = self._loop.create_task(self._make_call(batch))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _take(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        waiting = len(self._waiting)
        # Of many the half, where two calls can go out: answers that all come at once would leave the store idle until
        # all callers have gone on.
        is_halved = waiting >= 2 * WORTH_A_CALL and not self._under_way and self._most_calls > 1
        size = min(waiting // 2 if is_halved else waiting, self._most)
        taken = [self._waiting.popleft() for _ in range(size)]
        return [pair for pair in taken if not pair[1].done()]

    async def _make_call(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            await self._answer(batch)
        except BaseException:
            # The loop is shutting down: what waits for an answer gets none.
            for _, future in [*batch, *self._waiting]:
                future.cancel()
            self._waiting.clear()
            raise
        finally:
            self._ended()

    def _ended(self) -> None:
        self._under_way -= 1
        if self._next_end is not None:
            self._next_end.set_result(None)
            self._next_end = None
        self._start_soon()

    async def _answer(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._call([item for item, _ in batch])
        except Exception as exc:  # noqa: BLE001 - each caller gets it
            for _, future in batch:
                if not future.done():
                    future.set_exception(exc)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
