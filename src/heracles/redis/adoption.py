"""Entries of other programs: waits for their producer's status hash, then takes them into the queue's books."""

import asyncio
import itertools
import logging
import weakref
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from heracles.errors import HeraclesError
from heracles.redis.entries import fields_of, mapping, text_of
from heracles.redis.foreign import ForeignEntry, Meaning, read_entry
from heracles.redis.keys import DEFAULT_PRIORITY
from heracles.redis.store import Store
from heracles.redis.walking import chunks
from heracles.redis.wire import Argument

logger = logging.getLogger("heracles.redis")

#: A producer writes the hash a moment after the entry: how long it is waited for, and how often looked for.
HASH_WITHIN_S = 0.5
LOOK_EVERY_S = 0.01
#: Entries that one call adopts: it takes Redis a millisecond or two.
ADOPTED_A_CALL = 20
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
        #: Up to which entry id of the default stream it was looked ahead, by queue.
        self._looked: dict[str, tuple[int, int]] = {}
        self._turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, defaultdict[str, asyncio.Lock]]
        self._turns = weakref.WeakKeyDictionary()
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
            # In the order in which they were read.
            async with self._turn(queue):
                await self._let_overtake(queue, entries)
                entries = await self.adopt(queue, entries, may_wait=True)
            while entries:
                await asyncio.sleep(LOOK_EVERY_S)
                is_late = asyncio.get_running_loop().time() >= deadline
                entries = await self.adopt(queue, entries, may_wait=not is_late)
        except HeraclesError as error:
            logger.warning("entries of other programs in queue %s are left for the next look: %s", queue, error)

    def _turn(self, queue: str) -> asyncio.Lock:
        return self._turns.setdefault(asyncio.get_running_loop(), defaultdict(asyncio.Lock))[queue]

    async def _let_overtake(self, queue: str, entries: Sequence[Any]) -> None:
        """Adopt first those behind what was read whose priority goes before: all of them stand in one stream.

        Each entry is looked at once, in steps of one call. One that is written into what was looked at is known when it
        is read itself.
        """
        read = [text_of(message) for priority, message, _ in entries if priority == DEFAULT_PRIORITY]
        if not read or _position(read[-1]) <= self._looked.get(queue, (0, 0)):
            return
        after = f"({read[-1]}"
        last, _, foreign = await self._store.run("walk", queue, DEFAULT_PRIORITY, after, "+")
        self._looked[queue] = _position(text_of(last or (foreign[-1][1] if foreign else read[-1])))
        urgent = [entry for entry in foreign if _overtakes(read_entry(mapping(entry[2])))]
        # Those without a hash yet are left to be read in their turn.
        await self.adopt(queue, urgent, may_wait=True, was_read=False)

    async def adopt(
        self, queue: str, entries: Sequence[Any], *, may_wait: bool = False, was_read: bool = True
    ) -> Sequence[Any]:
        """Adopt what can be; returns those whose hash is to be waited for."""
        absent: list[Any] = []
        for priority, group in itertools.groupby(entries, key=lambda entry: int(entry[0])):
            for part in chunks(list(group), ADOPTED_A_CALL):
                found = [read_entry(mapping(flat), priority) for _, _, flat in part]
                arguments: list[Argument] = [priority, "1" if was_read else "0"]
                for one, (_, message, flat) in zip(found, part, strict=True):
                    arguments += _deed(one, priority, text_of(message), flat, may_wait)
                answers = await self._store.run("adopt", queue, *arguments)
                for one, entry, answer in zip(found, part, answers, strict=True):
                    if text_of(answer) == "absent":
                        absent.append(entry)
                    else:
                        await self._conclude(queue, one, text_of(entry[1]), text_of(answer))
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


def _position(message: str) -> tuple[int, int]:
    when, _, number = message.partition("-")
    return int(when), int(number)


def _overtakes(found: ForeignEntry) -> bool:
    envelope = found.envelope
    # Those of NO_OVERLAP stand in line as they are read.
    return envelope is not None and envelope.priority < DEFAULT_PRIORITY and not envelope.no_overlap


def _deed(
    found: ForeignEntry, stands_in: int, message: str, flat: Sequence[bytes], may_wait: bool
) -> Sequence[Argument]:
    """As adopt.lua takes an entry."""
    envelope = found.envelope
    if found.meaning is not Meaning.JOB:
        return (message, "drop", "", "", "", DEFAULT_PRIORITY, "", "", "", 0)
    wait = "1" if may_wait else ""
    if envelope is None:
        error = found.error or "its stream entry cannot be used"
        return (message, "fail", found.job_id, found.dispatch_id, wait, DEFAULT_PRIORITY, "", "", error, 0)
    due = envelope.scheduled_for_ms
    moves = envelope.priority != stands_in or due is not None or envelope.no_overlap or len(flat) > MOST_FIELDS
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
