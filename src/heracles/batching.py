"""Many awaits become few calls."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Coalescer(Generic[Item, Answer]):
    """Joins the items that are submitted while a call is under way into the next call, in their order.

    It belongs to one event loop. One call is under way at a time, so that items keep their order and a store that slows
    down gets larger batches, not more of them. An idle one calls at once.

    A caller that is cancelled takes its item back if its call has not begun, and harms no other caller if it has.
    When ``backlog`` items wait, further callers wait before they add theirs.
    """

    def __init__(
        self, call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], *, most: int, backlog: int
    ) -> None:
        self._call = call
        self._most = most
        self._backlog = backlog
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._calling: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Answer:
        """The answer to this item; raises what its call raised."""
        while len(self._waiting) >= self._backlog and self._calling is not None:
            # Unlike awaiting the task, this leaves it alone when the caller is cancelled.
            await asyncio.wait([self._calling])
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, future))
        if self._calling is None:
            self._start(loop)
        return await future

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        # It first runs after all that is ready now, which may add more items to the same call.
        self._calling = loop.create_task(self._make_call())

    async def _make_call(self) -> None:
        batch = self._take()
        try:
            if batch:
                await self._answer(batch)
        except BaseException:
            # The loop is shutting down: what waits for an answer gets none.
            for _, future in [*batch, *self._waiting]:
                future.cancel()
            self._waiting.clear()
            raise
        finally:
            self._calling = None
            if self._waiting:
                self._start(asyncio.get_running_loop())

    def _take(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        while self._waiting and len(batch) < self._most:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch

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
