"""What takes many transactions on one queue: cancelling, upkeep and cleanup, one bounded lot after the other."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from heracles.model import FINAL, CleanupRules, Swept
from heracles.options import StoreSettings
from heracles.sqlite import cleaning, control
from heracles.sqlite.turn import Turn
from heracles.sqlite.writer import T


class Change(Protocol):
    """Does something to the queue in one transaction."""

    def __call__(self, do: Callable[[Turn], T], *, absent: T) -> Awaitable[T]:
        """The answer, or ``absent`` where there is no such queue."""
        ...


class Sweeper:
    """Goes through one queue."""

    def __init__(self, change: Change) -> None:
        self._change = change

    async def cancel_all(self, *, running: bool, trim: bool = True) -> int:
        """Cancel all that is waiting now, with ``running`` all that is unfinished; how many."""
        newest = await self._change(control.last_id, absent=0)
        cancelled = await self._cancel_until(newest, running=False, trim=trim)
        if running:
            # Only when nothing waits any more: a slot that is freed must not start what is to be cancelled.
            cancelled += await self._cancel_until(newest, running=True, trim=trim)
        return cancelled

    async def _cancel_until(self, newest: int, *, running: bool, trim: bool) -> int:
        cancelled = 0
        nothing: tuple[int, int | None] = (0, None)
        before: int | None = newest + 1
        while before is not None:
            lot = partial(control.cancel_some, before=before, running=running, trim=trim)
            count, before = await self._change(lot, absent=nothing)
            cancelled += count
        return cancelled

    async def maintain(self, settings: StoreSettings) -> Swept:
        """Remove what has been kept long enough."""
        swept = await self._until_empty(cleaning.expire)
        if settings.cleanup_completed_jobs:
            swept += await self._until_empty(
                partial(cleaning.trim_aged, retention_s=settings.completed_job_retention_s)
            )
            swept += await self._until_empty(partial(cleaning.trim_long_streams, largest=settings.max_stream_size))
        return swept

    async def remove(self, rules: CleanupRules) -> Swept:
        """Remove entries and records of jobs that finished long ago, and entries beyond the largest number."""
        swept = Swept()
        if not rules.status_only:
            swept += await self._until_empty(partial(cleaning.trim_aged, retention_s=rules.retention_s))
        swept += await self._drop_finished(rules)
        if not rules.status_only:
            swept += await self._until_empty(partial(cleaning.trim_excess, largest=rules.max_entries))
        return swept

    async def remove_everything(self) -> Swept:
        """Cancel what is unfinished, then remove every entry and record."""
        cancelled = await self.cancel_all(running=True, trim=False)
        swept = await self._drop_finished(CleanupRules(everything=True))
        swept += await self._until_empty(partial(cleaning.trim_excess, largest=0))
        await self._change(cleaning.forget, absent=None)
        return swept + Swept(cancelled=cancelled)

    async def preview(self, rules: CleanupRules) -> Swept:
        """What would be removed."""
        return await self._change(partial(cleaning.preview, rules=rules), absent=Swept())

    async def _drop_finished(self, rules: CleanupRules) -> Swept:
        swept = Swept()
        nothing: tuple[Swept, int | None] = (swept, None)
        for status in sorted(FINAL):
            after: int | None = 0
            while after is not None:
                lot = partial(cleaning.drop_finished, status=status, after=after, rules=rules)
                removed, after = await self._change(lot, absent=nothing)
                swept += removed
        return swept

    async def _until_empty(self, lot: Callable[[Turn], Swept]) -> Swept:
        swept = Swept()
        while (removed := await self._change(lot, absent=Swept())) != Swept():
            swept += removed
        return swept
