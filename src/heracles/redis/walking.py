"""Walks over a queue's keys and sets, in steps that hold up nobody."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TypeVar

from heracles.redis.entries import text_of
from heracles.redis.keys import DEFAULT_PRIORITY, ref_of
from heracles.redis.scripts import MOST_ITEMS
from heracles.redis.store import Store

#: Keys that one SCAN looks at.
SCAN_STEP = 500
#: Members of a set in one step.
SET_STEP = 200
#: Where nothing but names is read.
LONG_STEP = 2000
#: What one call may carry, so that it holds up no others for long.
MOST_BYTES = 8_000_000
T = TypeVar("T")


def chunks(items: Sequence[T], size: int = MOST_ITEMS) -> Iterator[Sequence[T]]:
    """The items in slices that one call may touch."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def chunks_of_bytes(items: Sequence[T], size_of: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """The same, and none much larger than a call may be."""
    start = size = 0
    for at, item in enumerate(items):
        if at > start and (at - start == MOST_ITEMS or size + size_of(item) > MOST_BYTES):
            yield items[start:at]
            start, size = at, 0
        size += size_of(item)
    if start < len(items):
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


class RecordScan:
    """Goes round the status hashes of a queue; ``cursor`` is where it stands, 0 at the start and the end."""

    def __init__(self, store: Store, queue: str, cursor: int = 0) -> None:
        self._store, self._queue = store, queue
        self._prefix = store.keys.of("status", queue) + ":"
        self.cursor = cursor

    async def steps(self, most: int | None = None) -> AsyncIterator[Sequence[str]]:
        """Refs, some steps' or until all have been seen."""
        done = 0
        while most is None or done < most:
            done += 1
            command = ("SCAN", self.cursor, "MATCH", f"{self._prefix}*", "COUNT", SCAN_STEP)
            cursor, found = await self._store.command(self._store.keys.of("meta", self._queue), *command)
            self.cursor = int(cursor)
            for part in chunks([ref for key in found if (ref := self._ref(text_of(key)))]):
                yield part
            if self.cursor == 0:
                return

    def _ref(self, key: str) -> str | None:
        job_id, colon, dispatch_id = key.removeprefix(self._prefix).rpartition(":")
        return ref_of(job_id, dispatch_id) if colon and job_id and dispatch_id else None
