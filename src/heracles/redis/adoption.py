"""Entries of other programs: waits for their producer's status hash, then takes them into the queue's books."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from heracles.errors import HeraclesError
from heracles.redis.entries import fields_of, mapping, text_of
from heracles.redis.foreign import ForeignEntry, Meaning, read_entry
from heracles.redis.keys import DEFAULT_PRIORITY
from heracles.redis.store import Store
from heracles.redis.wire import Argument

logger = logging.getLogger("heracles.redis")

#: A producer writes the hash a moment after the entry: how long it is waited for, and how often looked for.
HASH_WITHIN_S = 0.5
LOOK_EVERY_S = 0.01
#: An entry with more fields is written anew: it could not be moved as it is.
MOST_FIELDS = 64

#: Cancel all jobs of that queue that there were at that time, in epoch ms; how many.
CancelAll = Callable[[str, int], Awaitable[int]]


class Adoption:
    """For all queues of one transport. What it does not get done, another worker does two seconds later."""

    def __init__(self, store: Store, cancel_all: CancelAll) -> None:
        self._store = store
        self._cancel_all = cancel_all
        self._tasks: set[asyncio.Task[None]] = set()
        #: Entries that named no job, or of unknown types, since the start.
        self.skipped = 0

    def take(self, queue: str, entries: Sequence[Any]) -> None:
        """Begin to adopt entries as exchange.lua returns them; returns at once, so that no job waits for it."""
        task = asyncio.get_running_loop().create_task(self._take(queue, entries))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End what is under way on the running event loop; others adopt those entries."""
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks if task.get_loop() is loop]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, queue: str, entries: Sequence[Any]) -> None:
        try:
            deadline = asyncio.get_running_loop().time() + HASH_WITHIN_S
            while entries:
                is_late = asyncio.get_running_loop().time() >= deadline
                entries = await self.adopt(queue, entries, may_wait=not is_late)
                if entries:
                    await asyncio.sleep(LOOK_EVERY_S)
        except HeraclesError as error:
            logger.warning("entries of other programs in queue %s are left for the next look: %s", queue, error)

    async def adopt(
        self, queue: str, entries: Sequence[Any], *, may_wait: bool = False, was_read: bool = True
    ) -> Sequence[Any]:
        """Adopt what can be; returns those whose hash is to be waited for."""
        absent: list[Any] = []
        for entry in entries:
            priority, message, flat = entry
            found = read_entry(mapping(flat), priority)
            arguments = (priority, "1" if was_read else "0", *_deed(found, text_of(message), flat, may_wait))
            answer = text_of((await self._store.run("adopt", queue, *arguments))[0])
            if answer == "absent":
                absent.append(entry)
            else:
                await self._conclude(queue, found, text_of(message), answer)
        return absent

    async def cancel_all(self, queue: str, message: str) -> None:
        """Heed the entry of that id, for what had been dispatched by then. Doing so again cancels nothing more."""
        count = await self._cancel_all(queue, int(message.partition("-")[0]))
        if count:
            logger.info("queue %s: another program cancelled all jobs: %d", queue, count)

    async def _conclude(self, queue: str, found: ForeignEntry, message: str, answer: str) -> None:
        if found.meaning is Meaning.CANCEL_ALL:
            await self.cancel_all(queue, message)
        elif found.meaning is Meaning.NOTHING:
            self.skipped += 1
            logger.warning("queue %s: entry %s is skipped: %s", queue, message, found.error)
        elif answer == "known":
            logger.warning("queue %s: entry %s is skipped: %s is known", queue, message, found.dispatch_id)
        elif found.error is not None:
            logger.error("queue %s: %s fails: %s", queue, found.dispatch_id, found.error)


def _deed(found: ForeignEntry, message: str, flat: Sequence[bytes], may_wait: bool) -> Sequence[Argument]:
    """As adopt.lua takes an entry."""
    envelope = found.envelope
    if found.meaning is not Meaning.JOB:
        return (message, "drop", "", "", "", DEFAULT_PRIORITY, "", "", "", 0)
    wait = "1" if may_wait else ""
    if envelope is None:
        error = found.error or "its stream entry cannot be used"
        return (message, "fail", found.job_id, found.dispatch_id, wait, DEFAULT_PRIORITY, "", "", error, 0)
    due = envelope.scheduled_for_ms
    moves = found.priority_given or due is not None or envelope.no_overlap or len(flat) > MOST_FIELDS
    fields = fields_of(envelope) if moves else []
    return (
        message,
        "move" if moves else "stay",
        envelope.job_id,
        envelope.dispatch_id,
        wait,
        envelope.priority,
        "" if due is None else due,
        "1" if envelope.no_overlap else "",
        "",
        len(fields),
        *fields,
    )
