"""Upkeep of one queue, in bounded steps: trimming, and what no regular path finds any more."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

from heracles.errors import HeraclesError
from heracles.model import Swept
from heracles.redis.control import PLACES
from heracles.redis.entries import text_of
from heracles.redis.store import Store, tell_faults
from heracles.redis.walking import Pace, RecordScan, store_time

logger = logging.getLogger("heracles.redis")

#: A consumer that is gone without a word is dropped after this: no worker is silent for so long.
CONSUMER_IDLE_MS = 3_600_000
#: Jobs that one script looks at: it takes Redis well under a millisecond.
LOOKED_AT_A_CALL = 25
#: How many steps of each kind one pass takes at most. What it does not get to, the next one does.
SCANS_A_PASS, STEPS_A_PASS = 100, 320


class Upkeep:
    """For all queues of one transport. Its steps are paced: they take jobs none of the store's time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: Where the last pass has stopped looking at records, by queue; at sets, by queue and set.
        self._cursors: dict[str, int] = defaultdict(int)
        self._positions: dict[tuple[str, str], int] = defaultdict(int)
        self._repairs: dict[str, asyncio.Task[None]] = {}

    async def maintain(self, queue: str) -> Swept:
        """As ``Transport.maintain``."""
        priorities = await self._store.run("audit_streams", queue, CONSUMER_IDLE_MS)
        swept = await self._trim(queue, priorities)
        repaired = sum([await self._audit_pending(queue, priority) for priority in priorities])
        repaired += await self._audit_places(queue)
        repaired += await self._audit_records(queue)
        self._tell_of(queue, repaired)
        return swept + Swept(reclaimed=await self._reclaim(queue))

    def repair_soon(self, queue: str) -> None:
        """A stream may have been removed: look at once at all records, for jobs that stand nowhere; returns at once."""
        under_way = self._repairs.get(queue)
        if under_way is None or under_way.done():
            self._repairs[queue] = asyncio.get_running_loop().create_task(self._repair(queue))

    async def _repair(self, queue: str) -> None:
        try:
            scan = RecordScan(self._store, queue, pace=Pace(), size=LOOKED_AT_A_CALL)
            count = 0
            async for refs in scan.steps():
                count += await self._look_at_records(queue, refs)
            self._tell_of(queue, count)
        except HeraclesError as error:
            logger.warning("queue %s: what a lost stream left is put right later: %s", queue, error)

    async def stop(self) -> None:
        """End what is under way on the running event loop; the next pass does it."""
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._repairs.values() if task.get_loop() is loop]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tell_of(self, queue: str, repaired: int) -> None:
        if repaired:
            logger.warning("queue %s: %d jobs stood nowhere and were put right", queue, repaired)

    async def _trim(self, queue: str, priorities: list[int]) -> Swept:
        settings = self._store.settings
        if not settings.cleanup_completed_jobs:
            return Swept()
        before_ms = await store_time(self._store, queue) - settings.completed_job_retention_s * 1000
        entries = 0
        for priority in priorities:
            entries += await trim(self._store, queue, priority, before_ms, settings.max_stream_size)
        return Swept(entries=entries)

    async def _reclaim(self, queue: str) -> int:
        count = 0
        for _ in range(STEPS_A_PASS):
            *_, reclaimed, _, _ = await self._store.run("exchange", queue, "", "", "", -1, "0", "0")
            count += reclaimed
            if not reclaimed:
                break
        return count

    async def _audit_pending(self, queue: str, priority: int) -> int:
        count, after, pace = 0, "-", Pace()
        for _ in range(STEPS_A_PASS):
            last, repaired, faults = await self._store.run("audit_pending", queue, priority, after, LOOKED_AT_A_CALL)
            tell_faults(queue, faults)
            count += repaired
            if not last:
                break
            after = f"({text_of(last)}"
            await pace.rest()
        return count

    async def _audit_places(self, queue: str) -> int:
        return sum([await self._audit_place(queue, place) for place in PLACES])

    async def _audit_place(self, queue: str, place: str) -> int:
        key = self._store.keys.of(place, queue)
        count, start, pace = 0, self._positions[queue, place], Pace()
        for _ in range(STEPS_A_PASS):
            refs = await self._store.command(key, "ZRANGE", key, start, start + LOOKED_AT_A_CALL - 1)
            if refs:
                repaired, faults = await self._store.run("audit_places", queue, place, *refs)
                tell_faults(queue, faults)
                count += repaired
            if len(refs) < LOOKED_AT_A_CALL:
                start = 0
                break
            start += LOOKED_AT_A_CALL
            await pace.rest()
        self._positions[queue, place] = start
        return count

    async def _audit_records(self, queue: str) -> int:
        scan = RecordScan(self._store, queue, self._cursors[queue], pace=Pace(), size=LOOKED_AT_A_CALL)
        count = 0
        async for refs in scan.steps(SCANS_A_PASS):
            count += await self._look_at_records(queue, refs)
        self._cursors[queue] = scan.cursor
        return count

    async def _look_at_records(self, queue: str, refs: Sequence[str]) -> int:
        count = 0
        while refs:
            # Large entries take their time: the rest of a step goes into another call.
            done, repaired, faults = await self._store.run("audit_records", queue, *refs)
            tell_faults(queue, faults)
            count, refs = count + repaired, refs[done:]
        return count


async def trim(store: Store, queue: str, priority: int, before_ms: int, most: int, *, dry_run: bool = False) -> int:
    """Remove finished entries of one stream that are too old or too many; how many."""
    count, is_more = 0, True
    while is_more:
        done, more = await store.run("trim", queue, priority, before_ms, most, "1" if dry_run else "")
        count, is_more = count + done, bool(more)
    return count
