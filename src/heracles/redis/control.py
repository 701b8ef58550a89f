"""What acts on a queue as a whole, or on jobs by id: gate, cancel, clear."""

from collections.abc import Sequence
from typing import Any

from heracles.model import Gates
from heracles.redis.adoption import Adoption
from heracles.redis.confirmation import Confirmation
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
        confirmation = Confirmation(self._store, is_wanted=paused is not None or draining is not None)
        is_paused, is_draining = await confirmation.run("gate", queue, _flag(paused), _flag(draining))
        confirmation.check("the queue is changed")
        return Gates(paused=bool(is_paused), draining=bool(is_draining))

    async def cancel(self, queue: str, ids: Sequence[str]) -> Sequence[bool]:
        """As ``Transport.cancel``."""
        answers: list[bool] = []
        confirmation = Confirmation(self._store)
        # A job id may stand for many dispatches.
        for part in chunks(ids, 20):
            letters = text_of(await confirmation.run("cancel", queue, "ids", "", "", *part))
            for id, letter in zip(part, letters, strict=True):
                answers.append(letter == "1" or (letter == "+" and await self._cancel_on(queue, id, confirmation)))
        if any(answers):
            confirmation.check("the jobs are cancelled")
        return answers

    async def _cancel_on(self, queue: str, id: str, confirmation: Confirmation) -> bool:
        while text_of(await confirmation.run("cancel", queue, "ids", "", "", id)) == "+":
            pass
        return True

    async def cancel_foreign(self, queue: str, ref: str) -> None:
        """What another program has cancelled, whose entry may be not read yet."""
        await self._store.run("cancel", queue, "", "foreign", "", "", ref)

    async def clear(self, queue: str, running: bool) -> int:
        """As ``Transport.clear``."""
        confirmation = Confirmation(self._store)
        count = await self.empty(queue, running, confirmation)
        confirmation.check("the jobs are cancelled")
        return count

    async def empty(self, queue: str, running: bool, confirmation: Confirmation, until_ms: int | None = None) -> int:
        """The same, of which the caller checks the confirmation when all is done; of what had been dispatched until
        then, if that is given."""
        # What an earlier call had cancelled unconfirmed stands in no place below any more.
        await confirmation.of_earlier_calls(queue)
        clearing = _Clearing(self._store, self._adoption, queue, running, confirmation)
        now_ms = await store_time(self._store, queue)
        return await clearing.clear(now_ms, now_ms if until_ms is None else min(until_ms, now_ms))


class _Clearing:
    """One call of ``clear``."""

    def __init__(self, store: Store, adoption: Adoption, queue: str, running: bool, confirmation: Confirmation) -> None:
        self._store, self._adoption = store, adoption
        self._queue, self._running, self._confirmation = queue, running, confirmation

    async def clear(self, now_ms: int, until_ms: int) -> int:
        """Cancel what there was at the second time, wherever it stands now; how many."""
        count = 0
        for place in PLACES:
            count += await self._clear_place(place, until_ms, self._running)
        for priority in await priorities(self._store, self._queue):
            count += await self._clear_stream(priority, now_ms, until_ms)
        # What runs comes last, or its slots would start what waits. A retry whose last run has not ended is there too.
        count += await self._clear_place("leases", until_ms, self._running)
        # Cancelling the first of a job id may have moved the next one on.
        for place in ("waiting", "delayed"):
            count += await self._clear_place(place, until_ms, self._running)
        return count

    async def _clear_place(self, place: str, until_ms: int, running: bool) -> int:
        key = self._store.keys.of(place, self._queue)
        count = passed = 0
        while True:
            refs = await self._store.command(key, "ZRANGE", key, passed, passed + SET_STEP - 1)
            if not refs:
                return count
            done = await self._cancel(refs, until_ms, running)
            count += done
            # Those that were cancelled have left the set, but for those whose code still runs.
            passed += len(refs) if place == "leases" else len(refs) - done

    async def _clear_stream(self, priority: int, now_ms: int, until_ms: int) -> int:
        count, after = 0, "-"
        while after:
            last, jobs, foreign = await self._store.run(
                "walk", self._queue, priority, after, f"{now_ms}-18446744073709551615"
            )
            refs = [ref for _, ref, _ in jobs]
            if foreign:
                await self._adoption.adopt(self._queue, foreign, was_read=False)
                refs = [*refs, *(_ref(flat) for _, _, flat in foreign)]
            count += await self._cancel(refs, until_ms, False)
            after = f"({text_of(last)}" if last else ""
        return count

    async def _cancel(self, refs: Sequence[Any], until_ms: int, running: bool) -> int:
        count = 0
        for part in chunks(refs, CANCELLED_A_CALL):
            rules = ("refs", "" if running else "1", to_iso(until_ms))
            count += text_of(await self._confirmation.run("cancel", self._queue, *rules, *part)).count("1")
        return count


def _ref(flat: Sequence[bytes]) -> str:
    """Of an entry that has both ids."""
    fields = mapping(flat)
    return ref_of(text_of(fields[b"jobId"]), text_of(fields[b"dispatchId"]))
