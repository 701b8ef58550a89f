"""What is read: records, lists, numbers, changes, workers."""

import asyncio
import logging
from collections.abc import Iterator, Sequence, Set
from datetime import UTC, datetime
from typing import NamedTuple

from heracles.errors import TransportError
from heracles.model import FINAL, Change, Changes, Gates, JobStatus, Overview, Record, WorkerInfo
from heracles.redis.entries import mapping, number_of, text_of, time_of
from heracles.redis.records import read_record
from heracles.redis.refusals import Refusal, is_wrong_type
from heracles.redis.store import Store
from heracles.redis.walking import chunks, members, priorities
from heracles.redis.wire import LostError
from heracles.units import to_datetime, to_iso

#: Records travel with their arguments and results: so many in one answer.
RECORDS_A_CALL = 50
#: Entries of the event stream in one answer; each has all changes of one script call.
EVENTS_A_CALL = 200
#: A blocking read stays below the socket's time-out.
LONGEST_BLOCK_MS = 2000
NEWEST_FINAL = 1000
#: After a blocking read was refused.
PAUSE_MS = 100
#: A worker that was not heard of for so many seconds is none any more.
WORKER_TTL_S = 60


logger = logging.getLogger("heracles.redis")


class _Age(NamedTuple):
    """When a dispatch was created, in ISO 8601, and its ref."""

    created_at: bytes
    ref: bytes


class Reading:
    """The reading verbs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, queue: str, id: str) -> Record | None:
        """As ``Transport.find``."""
        return read_record(queue, (await self._store.run("records", queue, "id", id))[0])

    async def overview(self, queue: str) -> Overview:
        """As ``Transport.overview``."""
        flat, scheduled = await self._store.run("overview", queue)
        meta = mapping(flat)
        return Overview(
            counts={status: max(number_of(meta.get(status.value.encode())), 0) for status in JobStatus},
            scheduled=scheduled,
            gates=Gates(paused=meta.get(b"paused") == b"1", draining=meta.get(b"draining") == b"1"),
        )

    # -------------------------------------------------------------------------------------------------------- page

    async def page(self, queue: str, status: JobStatus | None, limit: int) -> Sequence[Record]:
        """As ``Transport.page``."""
        statuses = frozenset(JobStatus) if status is None else frozenset({status})
        ages: list[_Age] = []
        if statuses - FINAL:
            ages += await self._unfinished(queue, statuses - FINAL, limit)
        # Last, as in the life of a job: one that ends during the look at the others is found here.
        ages += await self._finished(queue, statuses & FINAL)
        newest = sorted(set(ages), key=lambda age: (age.created_at, *_order(age.ref)), reverse=True)
        return await self._records(queue, [age.ref for age in newest[:limit]], statuses)

    async def _finished(self, queue: str, statuses: frozenset[JobStatus]) -> list[_Age]:
        refs: list[bytes] = []
        for status in statuses:
            key = self._store.keys.of("finished", queue, status.value)
            refs += await self._store.command(key, "LRANGE", key, 0, NEWEST_FINAL - 1)
        return await self._ages(queue, refs, statuses)

    async def _unfinished(self, queue: str, statuses: frozenset[JobStatus], limit: int) -> list[_Age]:
        found: list[_Age] = []
        # In the order in which jobs move on: what leaves a place meanwhile is found at its next one.
        for place in ("scheduled", "delayed", "waiting", "leases"):
            found += await self._standing(queue, place, statuses)
        # What runs has a lease, so streams are walked for the others only.
        if statuses - {JobStatus.RUNNING}:
            for priority in await priorities(self._store, queue):
                found += await self._of_stream(queue, priority, statuses, limit)
        # Again: a run that fails leads back to it.
        return found + await self._standing(queue, "delayed", statuses, known={age.ref for age in found})

    async def _standing(
        self, queue: str, place: str, statuses: frozenset[JobStatus], known: Set[bytes] = frozenset()
    ) -> list[_Age]:
        refs = await members(self._store, self._store.keys.of(place, queue))
        return await self._ages(queue, [ref for ref in refs if ref not in known], statuses)

    async def _of_stream(self, queue: str, priority: int, statuses: frozenset[JobStatus], limit: int) -> list[_Age]:
        """From the newest entry back, until no older entry can be of a job created later than those found."""
        found: list[_Age] = []
        after = "+"
        while after:
            last, jobs, _ = await self._store.run("walk", queue, priority, after, "-")
            found += [_Age(created_at, ref) for created_at, ref, status in jobs if text_of(status) in statuses]
            after = f"({text_of(last)}" if last else ""
            if last and len(found) >= limit:
                oldest = to_iso(int(text_of(last).partition("-")[0])).encode()
                if sum(age.created_at > oldest for age in found) >= limit:
                    break
        return found

    async def _ages(self, queue: str, refs: Sequence[bytes], statuses: frozenset[JobStatus]) -> list[_Age]:
        found: list[_Age] = []
        asked = f" {' '.join(status.value for status in statuses)} "
        for part in chunks(refs):
            found += [_Age(*age) for age in await self._store.run("ages", queue, asked, *part)]
        return found

    async def _records(self, queue: str, refs: Sequence[bytes], statuses: frozenset[JobStatus]) -> list[Record]:
        found: list[Record] = []
        for part in chunks(refs, RECORDS_A_CALL):
            answers = await self._store.run("records", queue, "refs", *part)
            records = (read_record(queue, answer) for answer in answers)
            found += [record for record in records if record is not None and record.status in statuses]
        return found

    # ----------------------------------------------------------------------------------------------------- changes

    async def changes(self, queue: str, cursor: str | None, timeout_ms: int) -> Changes:
        """As ``Transport.changes``."""
        loop = asyncio.get_running_loop()
        deadline, was_called = loop.time() + timeout_ms / 1000, False
        while True:
            found = await self._read_changes(queue, cursor)
            left_ms = int((deadline - loop.time()) * 1000)
            if cursor is None or found.changes or left_ms <= 0:
                return found
            cursor = found.cursor
            if was_called:
                # By an entry that is none of ours: it would call again at once.
                await asyncio.sleep(min(left_ms, PAUSE_MS) / 1000)
            try:
                was_called = await self._await_change(queue, cursor, min(left_ms, LONGEST_BLOCK_MS))
            except LostError as error:
                # Whether the store is away, the next look finds out.
                logger.debug("waiting for changes is interrupted: %s", error)

    async def _read_changes(self, queue: str, cursor: str | None) -> Changes:
        answer = await self._store.run("changes", queue, *_read_cursor(cursor), EVENTS_A_CALL)
        epoch, before, told_at, gap, entries, now = answer
        changes = [Change(job_id="", dispatch_id="", status=None, at_ms=now)] if gap else []
        last = before
        for entry_id, flat in entries:
            last, told_at = int(text_of(entry_id).partition("-")[0]), flat[1]
            changes += _told(last, flat, before)
        # With its time: after a failover another change may have the number.
        return Changes(cursor=f"{text_of(epoch)}:{text_of(told_at)}:{last}", changes=tuple(changes))

    async def _await_change(self, queue: str, cursor: str, block_ms: int) -> bool:
        """Returns when there may be one, or after the time; whether there may."""
        key = self._store.keys.of("events", queue)
        seen = cursor.rpartition(":")[2]
        command = ("XREAD", "COUNT", 1, "BLOCK", max(block_ms, 1), "STREAMS", key, f"{seen}-0")
        async with self._store.borrowed_wire(key) as wire:
            reply = await wire.send(command, block_ms / 1000)
        if isinstance(reply, Refusal):
            # The next look tells what is wrong.
            await asyncio.sleep(min(block_ms, PAUSE_MS) / 1000)
            return False
        return reply is not None

    # ------------------------------------------------------------------------------------------------ the whole store

    async def queues(self) -> Sequence[str]:
        """As ``Transport.queues``."""
        key = self._store.keys.queues
        return sorted(text_of(name) for name in await self._store.command(key, "SMEMBERS", key))

    async def workers(self) -> Sequence[WorkerInfo]:
        """As ``Transport.workers``."""
        keys = self._store.keys
        seconds, _ = await self._store.command(keys.workers, "TIME")
        oldest = (int(seconds) - WORKER_TTL_S) * 1000
        await self._store.command(keys.workers, "ZREMRANGEBYSCORE", keys.workers, "-inf", f"({oldest}")
        ids = await self._store.command(keys.workers, "ZRANGE", keys.workers, 0, -1)
        found = []
        for id in sorted(text_of(name) for name in ids):
            record = await self._worker_record(id)
            if record:
                found.append(_worker(id, record))
        return found

    async def _worker_record(self, id: str) -> dict[bytes, bytes]:
        key = self._store.keys.worker(id)
        try:
            return mapping(await self._store.command(key, "HGETALL", key))
        except TransportError as error:
            if not is_wrong_type(error):
                raise
            logger.warning("worker %s is left out: %s", id, error)
            return {}


def _order(ref: bytes) -> tuple[int, bytes]:
    """Of dispatches of one millisecond: generated ids sort by time, and numbers in others by their value."""
    dispatch_id = ref.partition(b":")[0]
    return len(dispatch_id), dispatch_id


def _read_cursor(cursor: str | None) -> tuple[str, int, str]:
    """Epoch, number and time of the last change that was seen, as changes.lua takes them."""
    if cursor is None:
        return "", 0, ""
    epoch, _, rest = cursor.partition(":")
    told_at, _, seen = rest.rpartition(":")
    return epoch, int(seen), told_at


def _told(last: int, flat: Sequence[bytes], before: int) -> Iterator[Change]:
    """What an entry of the event stream tells beyond the change ``before``; nothing where it is not one of ours."""
    at_ms, pairs = number_of(flat[1]), list(zip(flat[2::2], flat[3::2], strict=True))
    if flat[0] != b"at":
        return
    for number, (ref, told) in enumerate(pairs, last - len(pairs) + 1):
        change = _change(ref, told, at_ms) if number > before else None
        if change is not None:
            yield change


def _change(ref: bytes, told: bytes, at_ms: int) -> Change | None:
    dispatch_id, _, job_id = text_of(ref).partition(":")
    word, _, error = text_of(told).partition("\n")
    try:
        status = JobStatus(word)
    except ValueError:
        return None
    return Change(job_id=job_id, dispatch_id=dispatch_id, status=status, at_ms=at_ms, error=error or None)


def _split(text: bytes) -> tuple[str, ...]:
    return tuple(part for part in text_of(text).split(",") if part)


def _worker(id: str, record: dict[bytes, bytes]) -> WorkerInfo:
    return WorkerInfo(
        id=id,
        status=text_of(record.get(b"status", b"running")),
        queues=_split(record.get(b"queues", b"")),
        running=_split(record.get(b"running", b"")),
        last_seen=to_datetime(time_of(record.get(b"lastSeen")) or 0) or datetime.now(UTC),
    )
