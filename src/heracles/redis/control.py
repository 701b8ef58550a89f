"""What acts on a queue as a whole, or on jobs by id: gate, cancel, clear."""

from collections.abc import Sequence
from typing import Any

from heracles.model import Gates
from heracles.redis.adoption import Adoption
from heracles.redis.entries import mapping, text_of
from heracles.redis.keys import ref_of
from heracles.redis.store import Store
from heracles.redis.walking import SET_STEP, chunks, priorities, store_time
from heracles.units import to_iso

#: Cancelling touches a dozen keys a job: so many in one call.
CANCELLED_A_CALL = 100
#: The sorted sets in which jobs stand that have not started, in the order in which they are emptied.
PLACES = ("scheduled", "waiting", "delayed")


def _flag(value: bool | None) -> str:
    return "" if value is None else "1" if value else "0"


class Control:
    """The control verbs."""

    def __init__(self, store: Store, adoption: Adoption) -> None:
        self._store, self._adoption = store, adoption

    async def gate(self, queue: str, paused: bool | None, draining: bool | None) -> Gates:
        """As ``Transport.gate``."""
        is_paused, is_draining = await self._store.run("gate", queue, _flag(paused), _flag(draining))
        return Gates(paused=bool(is_paused), draining=bool(is_draining))

    async def cancel(self, queue: str, ids: Sequence[str]) -> Sequence[bool]:
        """As ``Transport.cancel``."""
        answers: list[bool] = []
        # A job id may stand for many dispatches.
        for part in chunks(ids, 20):
            letters = text_of(await self._store.run("cancel", queue, "ids", "", "", *part))
            for id, letter in zip(part, letters, strict=True):
                answers.append(letter == "1" or (letter == "+" and await self._cancel_on(queue, id)))
        return answers

    async def _cancel_on(self, queue: str, id: str) -> bool:
        while text_of(await self._store.run("cancel", queue, "ids", "", "", id)) == "+":
            pass
        return True

    async def cancel_foreign(self, queue: str, ref: str) -> None:
        """What another program has cancelled, whose entry may be not read yet."""
        await self._store.run("cancel", queue, "foreign", "", "", ref)

    async def clear(self, queue: str, running: bool) -> int:
        """As ``Transport.clear``."""
        now_ms = await store_time(self._store, queue)
        count = 0
        for place in PLACES:
            count += await self._clear_place(queue, place, now_ms, running)
        for priority in await priorities(self._store, queue):
            count += await self._clear_stream(queue, priority, now_ms, False)
        # What runs comes last, or its slots would start what waits. A retry whose last run has not ended is there too.
        count += await self._clear_place(queue, "leases", now_ms, running)
        # Cancelling the first of a job id may have moved the next one on.
        for place in ("waiting", "delayed"):
            count += await self._clear_place(queue, place, now_ms, running)
        return count

    async def _clear_place(self, queue: str, place: str, now_ms: int, running: bool) -> int:
        key = self._store.keys.of(place, queue)
        count = passed = 0
        while True:
            refs = await self._store.command(key, "ZRANGE", key, passed, passed + SET_STEP - 1)
            if not refs:
                return count
            done = await self._cancel_refs(queue, refs, now_ms, running)
            count += done
            # Those that were cancelled have left the set, but for those whose code still runs.
            passed += len(refs) if place == "leases" else len(refs) - done

    async def _clear_stream(self, queue: str, priority: int, now_ms: int, running: bool) -> int:
        count, after = 0, "-"
        while after:
            last, jobs, foreign = await self._store.run(
                "walk", queue, priority, after, f"{now_ms}-18446744073709551615"
            )
            refs = [ref for _, ref, _ in jobs]
            if foreign:
                await self._adoption.adopt(queue, foreign, was_read=False)
                refs = [*refs, *(_ref(flat) for _, _, flat in foreign)]
            count += await self._cancel_refs(queue, refs, now_ms, running)
            after = f"({text_of(last)}" if last else ""
        return count

    async def _cancel_refs(self, queue: str, refs: Sequence[Any], now_ms: int, running: bool) -> int:
        count = 0
        for part in chunks(refs, CANCELLED_A_CALL):
            only_unstarted = "" if running else "1"
            letters = await self._store.run("cancel", queue, "refs", only_unstarted, to_iso(now_ms), *part)
            count += text_of(letters).count("1")
        return count


def _ref(flat: Sequence[bytes]) -> str:
    """Of an entry that has both ids."""
    fields = mapping(flat)
    return ref_of(text_of(fields[b"jobId"]), text_of(fields[b"dispatchId"]))
