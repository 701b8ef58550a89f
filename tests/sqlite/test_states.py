"""What ``schema.sql`` says of the states holds after any history."""

import random
import sqlite3
from pathlib import Path

import pytest

from heracles.model import CleanupRules, Delivery, JobStatus, ReportKind
from heracles.units import now_ms
from tests.sqlite.conftest import MakeSqlite
from tests.sqlite.values import envelope, report, session

#: Each finds rows that must not be.
FORBIDDEN = {
    "ready without a place": "state = 0 AND place IS NULL",
    "due without waiting, or waiting without": "(due_ms IS NOT NULL) <> (state IN (1, 2))",
    "a lease without being held, or held without": "(lease_ms IS NOT NULL) <> (state = 4)",
    "scheduled within a line": "state = 1 AND line IS NOT NULL",
    "blocked outside of a line": "state = 3 AND line IS NULL",
    "a line of a job that may overlap": "line IS NOT NULL AND no_overlap = 0",
    "ready or held outside of its line": "no_overlap = 1 AND state IN (0, 4) AND line IS NULL",
    "ended within a line": "state = 5 AND line IS NOT NULL",
    "ended without a final status": "state = 5 AND status NOT IN ('completed', 'failed', 'cancelled')",
    "final and about to start": "status IN ('completed', 'failed', 'cancelled') AND state < 4",
    "final without an end": "(completed_ms IS NOT NULL) <> (status IN ('completed', 'failed', 'cancelled'))",
    "running without being held": "status = 'running' AND state <> 4",
    "unfinished without its arguments": "completed_ms IS NULL AND id NOT IN (SELECT id FROM entries)",
}
#: Of those in one line, all but the first are blocked, and the first is not.
LINES = """
SELECT job_id, state, line FROM jobs AS one WHERE line IS NOT NULL AND (state = 3) = (
    line = (SELECT MIN(line) FROM jobs WHERE queue = one.queue AND job_id = one.job_id AND line IS NOT NULL)
)
"""
#: Each job that has ended stands in one row of endings, with the status and the time of expiry that are its own.
ENDED = "SELECT id, status, priority, completed_ms, expires_ms FROM jobs WHERE completed_ms IS NOT NULL ORDER BY id"
LISTED_AS_ENDED = """
SELECT value, status, priority, ended_ms, expires_ms FROM endings, json_each(jobs)
WHERE expires_ms IS NOT NULL ORDER BY value
"""
IN_STREAM_WITHOUT_ENTRY = """
SELECT value FROM endings, json_each(jobs) WHERE key >= trimmed AND value NOT IN (SELECT id FROM entries)
"""
COUNTED = "SELECT status, COUNT(*) FROM jobs GROUP BY status"


def _check(path: Path, counts: dict[JobStatus, int]) -> None:
    connection = sqlite3.connect(path)
    try:
        for what, condition in FORBIDDEN.items():
            assert connection.execute(f"SELECT * FROM jobs WHERE {condition}").fetchall() == [], what
        assert connection.execute(LINES).fetchall() == []
        assert dict(connection.execute(COUNTED)) == {status.value: count for status, count in counts.items() if count}
        assert connection.execute(ENDED).fetchall() == connection.execute(LISTED_AS_ENDED).fetchall()
        assert connection.execute(IN_STREAM_WITHOUT_ENTRY).fetchall() == []
        in_streams = connection.execute("SELECT COALESCE(SUM(size - trimmed), 0) FROM endings").fetchone()
        assert connection.execute("SELECT COALESCE(SUM(finished), 0) FROM streams").fetchone() == in_streams
    finally:
        connection.close()


class History:
    """Random calls on one queue, by a clock that goes on between them."""

    def __init__(self, make_sqlite: MakeSqlite, seed: int) -> None:
        self._random = random.Random(seed)
        self._now = now_ms()
        self.sqlite = make_sqlite(
            clock=lambda: self._now, lease=500, max_deliveries=3, durability="memory", max_stream_size=20
        )
        self._workers = [session(), session()]
        self._held: list[Delivery] = []

    async def go_on(self) -> None:
        self._now += self._random.choice((0, 1, 50, 300, 700))
        await self._random.choice((self._dispatch, self._exchange, self._exchange, self._exchange, self._control))()

    async def _dispatch(self) -> None:
        pick = self._random
        await self.sqlite.enqueue(
            "q",
            [
                envelope(
                    job_id=f"job-{pick.randrange(4)}",
                    no_overlap=pick.random() < 0.7,
                    priority=pick.randrange(3),
                    delay_ms=pick.choice((None, None, 40, 400)),
                    overlap_delay_ms=pick.choice((None, 100)),
                )
                for _ in range(pick.randrange(1, 6))
            ],
        )

    async def _exchange(self) -> None:
        pick = self._random
        reported = [self._held.pop(pick.randrange(len(self._held))) for _ in range(min(len(self._held), 3))]
        reports = [
            report(
                each,
                pick.choice(tuple(ReportKind)),
                delay_ms=pick.choice((0, 60)),
                overlap_delay_ms=pick.choice((0, 0, 80)),
                still_running=pick.random() < 0.3,
            )
            for each in reported
        ]
        # Now and then a report is heard of again, or its job's code ends later.
        self._held += [each for each in reported if pick.random() < 0.4]
        answer = await self.sqlite.exchange(
            "q", pick.choice(self._workers), reports, pick.randrange(4), suspects=pick.random() < 0.5
        )
        self._held += answer.started

    async def _control(self) -> None:
        pick = self._random
        match pick.randrange(6):
            case 0 | 1:
                await self.sqlite.cancel("q", [f"job-{pick.randrange(4)}"])
            case 2:
                await self.sqlite.gate("q", paused=pick.random() < 0.3)
            case 3:
                await self.sqlite.recover("q", pick.choice(self._workers), [])
            case 4 if self._held:
                await self.sqlite.cancel("q", [pick.choice(self._held).envelope.dispatch_id])
            case _:
                if pick.random() < 0.1:
                    await self.sqlite.clear("q", running=pick.random() < 0.5)


@pytest.mark.parametrize("seed", range(12))
async def test_the_states_hold_after_any_history(make_sqlite: MakeSqlite, path: Path, seed: int) -> None:
    history = History(make_sqlite, seed)
    for _ in range(15):
        for _ in range(20):
            await history.go_on()
        _check(path, dict((await history.sqlite.overview("q")).counts))
    await history.sqlite.cleanup("q", CleanupRules(everything=True))
    _check(path, {})
