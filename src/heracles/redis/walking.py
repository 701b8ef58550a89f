"""Walks over a queue's keys and sets, in steps that hold up nobody."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TypeVar

from heracles.redis.entries import text_of
from heracles.redis.keys import DEFAULT_PRIORITY, ref_of
from heracles.redis.scripts import MOST_ITEMS
from heracles.redis.store import Store

#: Keys that one SCAN looks at.
SCAN_STEP = 200
#: Members of a set in one step.
SET_STEP = 200
#: Where nothing but names is read.
LONG_STEP = 2000
#: What one call may carry, so that it holds up no others for long.
MOST_BYTES = 8_000_000
#: A walk that is in no haste takes at most a twentieth of its server's time, and rests no longer than so many seconds.
RESTS_A_STEP, LONGEST_REST_S = 19, 0.25
T = TypeVar("T")


def chunks(items: Sequence[T], size: int = MOST_ITEMS) -> Iterator[Sequence[T]]:
    """The items in slices that one call may touch."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def chunks_of_bytes(items: Sequence[T], size_of: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """The same, and none much larger than a call may be."""
    sizes = [size_of(item) for item in items]
    if len(items) <= MOST_ITEMS and sum(sizes) <= MOST_BYTES:
        if items:
            yield items
        return
    start = total = 0
    for at, size in enumerate(sizes):
        if at > start and (at - start == MOST_ITEMS or total + size > MOST_BYTES):
            yield items[start:at]
            start, total = at, 0
        total += size
    yield items[start:]


async def store_time(store: Store, queue: str) -> int:
    """The clock of the server that has the queue, in epoch ms."""
    seconds, micros = await store.command(store.keys.of("meta", queue), "TIME")
    return int(seconds) * 1000 + int(micros) // 1000


async def priorities(store: Store, queue: str) -> Sequence[int]:
    """Those that have a stream, and the default."""
    key = store.keys.of("priorities", queue)
    found = await store.command(key, "ZRANGE", key, 0, -1)
    return sorted({DEFAULT_PRIORITY, *(int(priority) for priority in found)})


async def members(store: Store, key: str) -> Sequence[bytes]:
    """All members of a sorted set, in order."""
    found: dict[bytes, None] = {}
    start = 0
    while True:
        step = await store.command(key, "ZRANGE", key, start, start + LONG_STEP - 1)
        found.update(dict.fromkeys(step))
        if len(step) < LONG_STEP:
            return list(found)
        start += LONG_STEP


class Pace:
    """Keeps a walk to a small part of its server's time: each step is followed by a rest in proportion to it."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()

    async def rest(self) -> None:
        """Between two steps."""
        loop = asyncio.get_running_loop()
        # What other callers make a step wait counts: the busier the server, the longer the rest.
        await asyncio.sleep(min((loop.time() - self._began) * RESTS_A_STEP, LONGEST_REST_S))
        self._began = loop.time()


class RecordScan:
    """Goes round the status hashes of a queue; ``cursor`` is where it stands, 0 at the start and the end."""

    def __init__(
        self, store: Store, queue: str, cursor: int = 0, *, pace: Pace | None = None, size: int = MOST_ITEMS
    ) -> None:
        self._store, self._queue, self._pace, self._size = store, queue, pace, size
        self._prefix = store.keys.of("status", queue) + ":"
        self.cursor = cursor

    async def steps(self, most: int | None = None) -> AsyncIterator[Sequence[str]]:
        """Refs, at most ``size`` of them at once: some steps', or until all have been seen."""
        done = 0
        while most is None or done < most:
            done += 1
            command = ("SCAN", self.cursor, "MATCH", f"{self._prefix}*", "COUNT", SCAN_STEP)
            cursor, found = await self._store.command(self._store.keys.of("meta", self._queue), *command)
            self.cursor = int(cursor)
            for at, part in enumerate(chunks([ref for key in found if (ref := self._ref(text_of(key)))], self._size)):
                if at > 0:
                    await self._rest()
                yield part
            if self.cursor == 0:
                return
            await self._rest()

    async def _rest(self) -> None:
        if self._pace is not None:
            await self._pace.rest()

    def _ref(self, key: str) -> str | None:
        job_id, colon, dispatch_id = key.removeprefix(self._prefix).rpartition(":")
        return ref_of(job_id, dispatch_id) if colon and job_id and dispatch_id else None
