"""What ``heracles cleanup`` does to a queue."""

from heracles.model import UNFINISHED, CleanupRules, Swept
from heracles.redis.confirmation import Confirmation
from heracles.redis.control import Control
from heracles.redis.reading import Reading
from heracles.redis.store import Store
from heracles.redis.upkeep import trim
from heracles.redis.walking import RecordScan, priorities, store_time
from heracles.units import to_iso


def _flag(value: bool) -> str:
    return "1" if value else ""


class Cleaning:
    """For all queues of one transport."""

    def __init__(self, store: Store, control: Control, reading: Reading) -> None:
        self._store, self._control, self._reading = store, control, reading

    async def cleanup(self, queue: str, rules: CleanupRules) -> Swept:
        """As ``Transport.cleanup``."""
        return await (self._remove_all(queue, rules) if rules.everything else self._remove_finished(queue, rules))

    async def _remove_finished(self, queue: str, rules: CleanupRules) -> Swept:
        before_ms = await store_time(self._store, queue) - rules.retention_s * 1000
        swept = Swept() if rules.status_only else Swept(entries=await self._trim(queue, before_ms, rules))
        found = await self._sweep(queue, "finished", before_ms, rules)
        # Entries were counted where they were trimmed: in a dry run they are all still there.
        return swept + (Swept(records=found.records) if rules.dry_run else found)

    async def _trim(self, queue: str, before_ms: int, rules: CleanupRules) -> int:
        """Remove entries that are too old, then the oldest of those that are too many in the whole queue."""
        streams = await priorities(self._store, queue)
        aged = sum([await trim(self._store, queue, each, before_ms, -1, dry_run=rules.dry_run) for each in streams])
        excess, is_more = 0, True
        while is_more:
            flag = _flag(rules.dry_run)
            done, more = await self._store.run("trim_excess", queue, rules.max_entries, flag, *streams)
            excess, is_more = excess + done, bool(more)
        # In a dry run those that are too old are still among those that are too many.
        return max(aged, excess) if rules.dry_run else aged + excess

    async def _sweep(self, queue: str, what: str, before_ms: int, rules: CleanupRules) -> Swept:
        swept = Swept()
        flags = (_flag(rules.status_only and not rules.everything), _flag(rules.dry_run))
        async for refs in RecordScan(self._store, queue).steps():
            records, entries = await self._store.run("sweep", queue, what, to_iso(before_ms), *flags, *refs)
            swept += Swept(records=records, entries=entries)
        return swept

    async def _remove_all(self, queue: str, rules: CleanupRules) -> Swept:
        # Cancelling takes the entries of waiting jobs out: count before.
        entries, _ = await self._store.run("wipe", queue, "1")
        confirmation = Confirmation(self._store)
        if rules.dry_run:
            counts = (await self._reading.overview(queue)).counts
            cancelled = sum(counts[status] for status in UNFINISHED)
        else:
            cancelled = await self._control.empty(queue, True, confirmation)
        _, now_ms = await self._store.run("wipe", queue, _flag(rules.dry_run))
        # What is dispatched from here on stays.
        swept = await self._sweep(queue, "all", now_ms, rules)
        confirmation.check("all is removed")
        return Swept(entries=entries, records=swept.records, cancelled=cancelled)
