"""A real transport whose calls fail when a test wants it: before they happen, after they have, or slowly."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from heracles.errors import TransportError, TransportUnavailableError
from heracles.model import Beaten, Delivery, Exchange, Held, Report, ReportKind, Session, Swept
from heracles.options import StoreSettings
from heracles.transport import Listener, Transport

T = TypeVar("T")


class FaultyTransport:
    """The verbs of a worker; those of queues are asked of the real one."""

    def __init__(self, real: Transport) -> None:
        self._real = real
        self.is_away = False
        self.refusal: str | None = None
        #: How many of the next exchanges are done, and their answers lost.
        self.lost_answers = 0
        self.delay_s = 0.0
        self.answer_delay_s = 0.0
        #: Reports on jobs with this result are refused, and whatever else is in the same call.
        self.refused_result: bytes | None = None
        self.refusals = 0
        #: How many of the next exchanges with reports get their answers only when ``answers`` is set.
        self.withheld = 0
        self.answers = asyncio.Event()
        #: Whether heartbeats that name queues have to wait, and how often one has looked whether they may go on.
        self.holds_beats = False
        self.held_beats = 0
        self.exchanges = 0
        #: Exchanges without an answer: now, and the most at once. Those that wait for jobs apart.
        self.under_way = self.most_under_way = self.waits = 0
        #: How many of the next waits are lost at once, and go on in the store all the same.
        self.abandoned_waits = 0
        self.abandoned: list[asyncio.Task[Exchange]] = []
        self.ended_waits = 0
        #: The reports of each exchange that had some.
        self.reported: list[list[ReportKind]] = []
        self.recovered: list[Delivery] = []
        self.recoveries = 0
        self.early_recoveries = 0

    @property
    def settings(self) -> StoreSettings:
        return self._real.settings

    @property
    def identity(self) -> str:
        return self._real.identity

    @property
    def overlaps_calls(self) -> bool:
        return self._real.overlaps_calls

    @property
    def waits_for_jobs(self) -> bool:
        return self._real.waits_for_jobs

    async def open(self) -> None:
        await self._call(self._real.open)

    async def close(self) -> None:
        await self._real.close()

    async def exchange(
        self,
        queue: str,
        session: Session,
        reports: Sequence[Report],
        slots: int,
        *,
        suspects: bool = True,
        pause_on_error: bool = False,
        wait_ms: int = 0,
    ) -> Exchange:
        self.exchanges += 1
        if reports:
            self.reported.append([report.kind for report in reports])
        if self.refused_result is not None and any(report.result == self.refused_result for report in reports):
            self.refusals += 1
            raise TransportError("a value is refused")
        is_wait = wait_ms > 0
        self.waits += is_wait
        self.under_way += not is_wait
        self.most_under_way = max(self.most_under_way, self.under_way)

        def exchange() -> Coroutine[Any, Any, Exchange]:
            return self._real.exchange(
                queue, session, reports, slots, suspects=suspects, pause_on_error=pause_on_error, wait_ms=wait_ms
            )

        try:
            if is_wait and self.abandoned_waits:
                self.abandoned_waits -= 1
                self.abandoned.append(asyncio.create_task(exchange()))
                raise TransportUnavailableError("the connection is lost")
            return await self._answer(reports, exchange)
        finally:
            self.waits -= is_wait
            self.under_way -= not is_wait

    async def _answer(self, reports: Sequence[Report], exchange: Callable[[], Awaitable[Exchange]]) -> Exchange:
        is_withheld = bool(reports) and self.withheld > 0
        self.withheld -= is_withheld
        answer = await self._call(exchange)
        await asyncio.sleep(self.answer_delay_s)
        if is_withheld:
            await self.answers.wait()
        if self.lost_answers and (reports or answer.started):
            self.lost_answers -= 1
            raise TransportUnavailableError("the answer was lost")
        return answer

    async def end_wait(self, queue: str, session: Session) -> None:
        self.ended_waits += 1
        await self._call(lambda: self._real.end_wait(queue, session))

    async def recover(self, queue: str, session: Session, held: Sequence[Held]) -> Sequence[Delivery]:
        self.recoveries += 1
        # What is under way may start jobs that would then be recovered, and begun twice.
        self.early_recoveries += self.under_way + self.waits > 0
        found = await self._call(lambda: self._real.recover(queue, session, held))
        self.recovered += found
        return found

    async def beat(self, session: Session, queues: Sequence[str], status: str, held: Sequence[Held]) -> Beaten:
        # From another event loop than the test's.
        while queues and self.holds_beats:
            self.held_beats += 1
            await asyncio.sleep(0.01)
        return await self._call(lambda: self._real.beat(session, queues, status, held))

    async def retire(self, session: Session, queues: Sequence[str]) -> None:
        await self._call(lambda: self._real.retire(session, queues))

    def listen(self, session: Session, queues: Sequence[str]) -> Listener:
        return self._real.listen(session, queues)

    async def maintain(self, queue: str) -> Swept:
        return await self._call(lambda: self._real.maintain(queue))

    async def _call(self, verb: Callable[[], Awaitable[T]]) -> T:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.is_away:
            raise TransportUnavailableError("the store is away")
        if self.refusal is not None:
            raise TransportError(self.refusal)
        return await verb()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
