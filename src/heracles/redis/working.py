"""What workers call: exchange, recover, beat, retire."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heracles.model import Beaten, Delivery, Exchange, Held, Report, ReportKind, Session, Verdict
from heracles.redis.adoption import Adoption
from heracles.redis.client import Command
from heracles.redis.deliveries import Started, Unusable, failing, read_delivery, read_started
from heracles.redis.entries import text_of, time_of
from heracles.redis.keys import ref_of
from heracles.redis.refusals import Refusal, translate
from heracles.redis.scripts import MOST_ITEMS
from heracles.redis.store import Store, tell_faults
from heracles.redis.walking import chunks, chunks_of_bytes, priorities
from heracles.redis.wire import Argument
from heracles.units import DISPATCH_PREFIX, JOB_PREFIX, to_iso

logger = logging.getLogger("heracles.redis")

#: Seconds until a worker's record is gone unless it is renewed.
WORKER_TTL_S = 60
#: A millisecond is for ever to Redis 6.2, which rounds down to 0.
SHORTEST_WAIT_MS = 10
_VERDICTS = {"a": Verdict.APPLIED, "l": Verdict.LOST, "c": Verdict.CANCELLED}


class Working:
    """The worker's verbs."""

    def __init__(
        self, store: Store, adoption: Adoption, repair: Callable[[str], None], consumer_name: str | None
    ) -> None:
        self._store, self._adoption, self._repair = store, adoption, repair
        self._consumer_name = consumer_name
        #: Whether the server lets jobs be waited for, as far as is known.
        self.can_wait = True

    def _consumer(self, session: Session) -> str:
        return self._consumer_name or session.consumer

    # ---------------------------------------------------------------------------------------------------- exchange

    async def exchange(
        self,
        queue: str,
        session: Session,
        reports: Sequence[Report],
        slots: int,
        *,
        suspects: bool,
        pause_on_error: bool,
        wait_ms: int,
    ) -> Exchange:
        """As ``Transport.exchange``."""
        verdicts: list[Verdict] = []
        *parts, last = list(chunks_of_bytes(reports, _size)) or [()]
        for part in parts:
            verdicts += (await self._ask(queue, session, part, 0, suspects, pause_on_error)).verdicts
        answer = await self._ask(queue, session, last, min(slots, MOST_ITEMS), suspects, pause_on_error, wait_ms)
        verdicts += answer.verdicts
        started = list(answer.started)
        while slots > len(started) and answer.next_due_ms == 0 and answer.started:
            # One call does no more than so much; a job that may have taken workers down starts but once.
            suspects = suspects and not any(delivery.deliveries > 2 for delivery in started)
            left = min(slots - len(started), MOST_ITEMS)
            answer = await self._ask(queue, session, (), left, suspects, pause_on_error)
            started += answer.started
        return Exchange(
            verdicts=tuple(verdicts),
            started=tuple(started),
            next_due_ms=answer.next_due_ms,
            paused=answer.paused,
        )

    async def _ask(
        self,
        queue: str,
        session: Session,
        reports: Sequence[Report],
        slots: int,
        suspects: bool,
        pause_on_error: bool,
        wait_ms: int = 0,
    ) -> Exchange:
        arguments: list[Argument] = [session.worker_id, self._consumer(session), session.consumer, slots]
        arguments += ["1" if suspects else "0", "1" if pause_on_error else "0"]
        for report in reports:
            arguments += self._report_arguments(report)
        if wait_ms:
            answer = await self._run_after_wait(queue, session, arguments, wait_ms)
        else:
            # What it started, a second call could not know: the worker has to recover it.
            answer = await self._store.run("exchange", queue, *arguments, repeat=slots == 0)
        is_paused, due, verdicts, now, started, foreign, _, faults, was_lost = answer
        tell_faults(queue, faults)
        if foreign:
            self._adoption.take(queue, foreign)
        if was_lost:
            self._repair(queue)
        return Exchange(
            verdicts=tuple(_VERDICTS[letter] for letter in text_of(verdicts)),
            started=tuple(await self._usable(queue, session, read_started(started, now), pause_on_error)),
            next_due_ms=None if due < 0 else int(due),
            paused=bool(is_paused),
        )

    async def _run_after_wait(self, queue: str, session: Session, arguments: Sequence[Argument], wait_ms: int) -> Any:
        keys, wait_s = self._store.keys, max(wait_ms, SHORTEST_WAIT_MS) / 1000
        wait: Command = ("BLPOP", keys.of("wake", queue), keys.of("nudge", queue, session.consumer), wait_s)
        waited, answer = await self._store.run_after(wait, wait_s, "exchange", queue, *arguments)
        if isinstance(waited, Refusal) and self.can_wait:
            self.can_wait = False
            logger.warning(
                "queue %s: jobs cannot be waited for, so they are found by looking: %s",
                queue,
                translate(waited, self._store.where, str(wait[1])),
            )
        return answer

    async def end_wait(self, queue: str, session: Session) -> None:
        """As ``Transport.end_wait``."""
        await self._store.leave_token(self._store.keys.of("nudge", queue, session.consumer))

    async def _usable(
        self, queue: str, session: Session, started: Sequence[Started], pause_on_error: bool
    ) -> list[Delivery]:
        """Those that a worker can be given; the others fail at once."""
        reports = [failing(each, pause_on_error) for each in started if isinstance(each, Unusable)]
        for report in reports:
            logger.error("queue %s: %s fails: %s", queue, report.dispatch_id, report.error)
        if reports:
            await self._ask(queue, session, reports, 0, False, pause_on_error)
        return [each for each in started if isinstance(each, Delivery)]

    def _report_arguments(self, report: Report) -> Sequence[Argument]:
        shared = report.job_id[len(JOB_PREFIX) :]
        if _is_plain(report, shared):
            return shared, report.receipt, report.name, report.result or b""
        common = (
            "",
            report.kind.value,
            report.job_id,
            report.dispatch_id,
            report.token,
            report.receipt,
            report.name,
            report.status_ttl_s or self._store.settings.status_ttl_s,
            report.overlap_delay_ms,
        )
        if report.kind is ReportKind.COMPLETED:
            return (*common, report.result or b"")
        return (
            *common,
            report.error or "",
            report.traceback or "",
            report.delay_ms,
            "1" if report.still_running else "",
            "1" if report.pause_queue else "",
        )

    # ----------------------------------------------------------------------------------------------------- recover

    async def recover(self, queue: str, session: Session, held: Sequence[Held]) -> Sequence[Delivery]:
        """As ``Transport.recover``."""
        known = [ref_of(job.job_id, job.dispatch_id) for job in held if job.queue == queue]
        found: list[Started] = []
        for priority in await priorities(self._store, queue):
            after = "-"
            while after:
                arguments: list[Argument] = [self._consumer(session), session.consumer, priority, after, MOST_ITEMS]
                last, items = await self._store.run("recover", queue, *arguments, *known)
                found += [read_delivery(item, time_of(item[8]) or 0) for item in items]
                after = f"({text_of(last)}" if last else ""
        return await self._usable(queue, session, found, pause_on_error=False)

    # -------------------------------------------------------------------------------------------------------- beat

    async def beat(self, session: Session, queues: Sequence[str], status: str, held: Sequence[Held]) -> Beaten:
        """As ``Transport.beat``."""
        parts = [(queue, part) for queue, jobs in _by_queue(held).items() for part in chunks(jobs)]
        # At once, for the worker counts its leases as renewed when it has all answers: one after the other they would
        # outlast a short lease on a slow network.
        renewing = asyncio.gather(*(self._renew(session, queue, part) for queue, part in parts))
        answers, _ = await asyncio.gather(
            renewing, self._show(session, queues, status, [job.dispatch_id for job in held])
        )
        told = [pair for answer in answers for pair in answer]
        return Beaten(
            lost=tuple(job for job, letter in told if letter == "l"),
            cancelled=tuple(job for job, letter in told if letter == "c"),
        )

    async def _renew(self, session: Session, queue: str, jobs: Sequence[Held]) -> Sequence[tuple[Held, str]]:
        """Each job with the letter that renew.lua has for it."""
        arguments: list[Argument] = [session.worker_id, self._consumer(session), session.consumer]
        for job in jobs:
            arguments += (job.job_id, job.dispatch_id, job.token, job.receipt)
        letters = text_of(await self._store.run("renew", queue, *arguments))
        return list(zip(jobs, letters, strict=True))

    async def _show(self, session: Session, queues: Sequence[str], status: str, running: Sequence[str]) -> None:
        """Renew the worker's record."""
        keys = self._store.keys
        key = keys.worker(session.worker_id)
        seconds, micros = await self._store.command(key, "TIME")
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        record = {
            "id": session.worker_id,
            "status": status,
            "lastSeen": to_iso(now_ms),
            "queues": ",".join(queues),
            "running": ",".join(running),
            "session": session.consumer,
        }
        fields = [part for pair in record.items() for part in pair]
        await asyncio.gather(
            self._store.insist(key, "HSET", key, *fields, ttl_s=WORKER_TTL_S),
            self._store.insist(keys.workers, "ZADD", keys.workers, now_ms, session.worker_id),
            *([self._store.insist(keys.queues, "SADD", keys.queues, *queues)] if queues else []),
        )

    # ------------------------------------------------------------------------------------------------------ retire

    async def retire(self, session: Session, queues: Sequence[str]) -> None:
        """As ``Transport.retire``."""
        keys = self._store.keys
        key = keys.worker(session.worker_id)
        shown = await self._store.command(key, "HGET", key, "session")
        # A worker that has started again under the same id keeps its record.
        if shown is not None and text_of(shown) == session.consumer:
            await self._store.command(key, "DEL", key)
            await self._store.command(keys.workers, "ZREM", keys.workers, session.worker_id)
        for queue in queues:
            await self._store.run("retire", queue, self._consumer(session))


def _size(report: Report) -> int:
    return len(report.result or b"") + len(report.traceback or "")


def _is_plain(report: Report, shared: str) -> bool:
    """Whether ``shared``, its name and result say all of it: a first run has completed, and its ids are a pair."""
    return (
        report.kind is ReportKind.COMPLETED
        and report.token == 1
        and not report.overlap_delay_ms
        and not report.status_ttl_s
        and shared != ""
        and report.job_id == JOB_PREFIX + shared
        and report.dispatch_id == DISPATCH_PREFIX + shared
    )


def _by_queue(held: Sequence[Held]) -> Mapping[str, Sequence[Held]]:
    found: dict[str, list[Held]] = {}
    for job in held:
        found.setdefault(job.queue, []).append(job)
    return found
