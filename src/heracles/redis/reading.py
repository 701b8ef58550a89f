"""What is read: records, lists, numbers, changes, workers."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from heracles.model import FINAL, Change, Changes, Gates, JobStatus, Overview, Record, WorkerInfo
from heracles.redis.entries import mapping, number_of, text_of, time_of
from heracles.redis.records import read_record
from heracles.redis.refusals import Refusal
from heracles.redis.store import Store
from heracles.redis.walking import chunks, priorities
from heracles.redis.wire import LostError, Wire
from heracles.units import to_datetime

#: Records travel with their arguments and results: so many in one answer.
RECORDS_A_CALL = 50
#: Entries of the event stream in one answer; each has all changes of one script call.
EVENTS_A_CALL = 200
#: A blocking read stays below the socket's time-out.
LONGEST_BLOCK_MS = 2000
NEWEST_FINAL = 1000
#: A worker that was not heard of for so many seconds is none any more.
WORKER_TTL_S = 60


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
        statuses = set(JobStatus) if status is None else {status}
        refs: dict[bytes, None] = {}
        for final in sorted(statuses & FINAL):
            key = self._store.keys.of("finished", queue, final.value)
            refs.update(dict.fromkeys(await self._store.command(key, "LRANGE", key, 0, NEWEST_FINAL - 1)))
        found = await self._records(queue, list(refs), statuses)
        if statuses - FINAL:
            found += await self._unfinished(queue, statuses - FINAL, limit)
        found = list({(record.job_id, record.dispatch_id): record for record in found}.values())
        found.sort(key=_age, reverse=True)
        return found[:limit]

    async def _unfinished(self, queue: str, statuses: set[JobStatus], limit: int) -> list[Record]:
        found: list[Record] = []
        for place in ("scheduled", "delayed", "waiting", "leases"):
            key = self._store.keys.of(place, queue)
            found += await self._records(queue, await self._store.command(key, "ZRANGE", key, 0, -1), statuses)
        for priority in await priorities(self._store, queue):
            found += await self._of_stream(queue, priority, statuses, limit)
        return found

    async def _of_stream(self, queue: str, priority: int, statuses: set[JobStatus], limit: int) -> list[Record]:
        """From the newest entry back, until no older entry can be of a job created later than those found."""
        found: list[Record] = []
        after = "+"
        while after:
            last, refs, _ = await self._store.run("walk", queue, priority, after, "-")
            found += await self._records(queue, refs, statuses)
            after = f"({text_of(last)}" if last else ""
            if last and len(found) >= limit:
                oldest_ms = int(text_of(last).partition("-")[0])
                if sum(record.created_at_ms > oldest_ms for record in found) >= limit:
                    break
        return found

    async def _records(self, queue: str, refs: Sequence[bytes], statuses: set[JobStatus]) -> list[Record]:
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
        deadline = loop.time() + timeout_ms / 1000
        while True:
            found = await self._read_changes(queue, cursor)
            left_ms = int((deadline - loop.time()) * 1000)
            if cursor is None or found.changes or left_ms <= 0:
                return found
            cursor = found.cursor
            await self._await_change(queue, cursor, min(left_ms, LONGEST_BLOCK_MS))

    async def _read_changes(self, queue: str, cursor: str | None) -> Changes:
        epoch, seen = _read_cursor(cursor)
        new_epoch, before, gap, entries, now = await self._store.run("changes", queue, epoch, seen, EVENTS_A_CALL)
        epoch = text_of(new_epoch)
        changes = [Change(job_id="", dispatch_id="", status=None, at_ms=now)] if gap else []
        if not entries:
            return Changes(cursor=f"{epoch}:{before}", changes=tuple(changes))
        for entry_id, flat in entries:
            last = int(text_of(entry_id).partition("-")[0])
            at_ms, rest = int(flat[1]), flat[2:]
            first = last - len(rest) // 2 + 1
            for number in range(max(first, before + 1), last + 1):
                at = (number - first) * 2
                changes.append(_change(rest[at], rest[at + 1], at_ms))
        return Changes(cursor=f"{epoch}:{last}", changes=tuple(changes))

    async def _await_change(self, queue: str, cursor: str, block_ms: int) -> None:
        key = self._store.keys.of("events", queue)
        wire = await self._spare_wire(key)
        seen = cursor.rpartition(":")[2]
        try:
            future = wire.send(
                ("XREAD", "COUNT", 1, "BLOCK", max(block_ms, 1), "STREAMS", key, f"{seen}-0"), block_ms / 1000
            )
            reply = await future
        except LostError:
            # Whoever reads next finds out whether the store is away.
            wire.drop()
            return
        except BaseException:
            # A caller that is gone leaves a connection on which an answer is still to come.
            wire.drop()
            raise
        self._return_wire(key, wire)
        if isinstance(reply, Refusal):
            await asyncio.sleep(block_ms / 1000)

    async def _spare_wire(self, key: str) -> Wire:
        servers = await self._store.servers()
        return await servers.open_wire(key)

    def _return_wire(self, key: str, wire: Wire) -> None:
        wire.drop()

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
            record = mapping(await self._store.command(keys.worker(id), "HGETALL", keys.worker(id)))
            if record:
                found.append(_worker(id, record))
        return found


def _age(record: Record) -> tuple[Any, ...]:
    return (record.created_at_ms, record.dispatch_id)


def _read_cursor(cursor: str | None) -> tuple[str, int]:
    if cursor is None:
        return "", 0
    epoch, _, seen = cursor.partition(":")
    return epoch, int(seen)


def _change(ref: bytes, told: bytes, at_ms: int) -> Change:
    dispatch_id, _, job_id = text_of(ref).partition(":")
    status, _, error = text_of(told).partition("\n")
    return Change(job_id=job_id, dispatch_id=dispatch_id, status=JobStatus(status), at_ms=at_ms, error=error or None)


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
