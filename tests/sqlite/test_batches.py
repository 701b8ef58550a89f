"""What is done for many at once does what it would for each."""

import asyncio
import sqlite3
from typing import Any

import msgspec
import pytest

from heracles.model import Change, Delivery, JobStatus, ReportKind, Storing, Verdict
from heracles.sqlite import SqliteTransport
from heracles.sqlite.exchanging import Step, joined
from heracles.sqlite.queries import SQL, for_rows
from heracles.sqlite.rows import entry_of, envelope_of
from heracles.sqlite.telling import Telling, told_in
from tests.sqlite.conftest import MakeSqlite
from tests.sqlite.values import envelope, report, session


def test_a_row_of_values_is_repeated() -> None:
    assert for_rows("add_entries", 1) == SQL["add_entries"]
    assert for_rows("add_entries", 3).endswith("VALUES (?, ?), (?, ?), (?, ?)")


@pytest.mark.parametrize("count", [1, 2, 3, 100, 249, 250, 251])
async def test_batches_of_any_size_are_stored_once_in_order(make_sqlite: MakeSqlite, count: int) -> None:
    sqlite = make_sqlite(":memory:")
    envelopes = [envelope(args=b"[%d]" % number) for number in range(count)]
    assert {each.storing for each in await sqlite.enqueue("q", envelopes)} == {Storing.STORED}
    assert {each.storing for each in await sqlite.enqueue("q", envelopes)} == {Storing.EXISTING}
    started = (await sqlite.exchange("q", session(), [], count + 1)).started
    assert [each.envelope for each in started] == envelopes


async def test_a_batch_with_known_and_repeated_ids_stores_the_rest(make_sqlite: MakeSqlite) -> None:
    sqlite = make_sqlite(":memory:")
    first, second, third = envelope(), envelope(priority=3, no_overlap=True), envelope(delay_ms=60_000)
    await sqlite.enqueue("q", [first])
    answers = await sqlite.enqueue("q", [second, first, third, third])
    stored, existing = Storing.STORED, Storing.EXISTING
    assert [each.storing for each in answers] == [stored, existing, stored, existing]
    assert (await sqlite.overview("q")).counts[JobStatus.PENDING] == 3


def test_an_entry_is_read_as_it_was_written() -> None:
    given = envelope(args=b'["a"]', kwargs=b'{"b": 1}', priority=3, max_retries=0, timeout_ms=5, retry_delay_ms=1)
    assert envelope_of(entry_of(given)) == given
    # As earlier files have it: what is not there has its default.
    assert envelope_of(b"\x83\xa6job_id\xa1j\xabdispatch_id\xa1d\xa4name\xa1n") == envelope(
        job_id="j", dispatch_id="d", name="n"
    )


def test_changes_are_read_as_they_were_told() -> None:
    pair = ("job_X", "dispatch_X")
    others = [("job_X", "dispatch_Y"), ("my-job", "dispatch_X"), ("job_", "dispatch"), ("", "")]
    telling = Telling()
    telling.add("pending", [pair, others[0]])
    telling.add("pending", others[1:3])
    telling.add("failed", [pair], "Boom: x")
    telling.add("", others[3:])
    told = told_in(telling.body(5), 7)
    assert telling.count == len(told) == 6
    names = [*[(name, JobStatus.PENDING) for name in (pair, *others[:3])], (pair, JobStatus.FAILED), (others[3], None)]
    assert [((each.job_id, each.dispatch_id), each.status) for each in told] == names
    assert told[4] == Change(
        job_id="job_X", dispatch_id="dispatch_X", status=JobStatus.FAILED, at_ms=5, error="Boom: x"
    )


@pytest.mark.parametrize("body", [b"", b"{}", b"\xc1", "text", 1.5])
def test_changes_that_somebody_has_edited_are_a_gap(body: Any) -> None:
    assert told_in(body, 7) == [Change(job_id="", dispatch_id="", status=None, at_ms=7)]


# ---- reports


async def _start(sqlite: SqliteTransport, count: int) -> list[Delivery]:
    await sqlite.enqueue("q", [envelope() for _ in range(count)])
    return list((await sqlite.exchange("q", session(), [], count)).started)


@pytest.mark.parametrize("receipt", ["", "x", "9" * 18, "9" * 19, "9" * 5000])
@pytest.mark.parametrize("kind", [ReportKind.COMPLETED, ReportKind.FAILED])
async def test_a_receipt_that_names_no_job_is_only_where_to_look_first(
    receipt: str, kind: ReportKind, sqlite: SqliteTransport
) -> None:
    (delivery,) = await _start(sqlite, 1)
    told = report(delivery, kind)
    answer = await sqlite.exchange("q", session(), [msgspec.structs.replace(told, receipt=receipt)], 0)
    assert answer.verdicts == (Verdict.APPLIED,)


async def test_reports_of_all_kinds_in_one_call_get_their_own_verdicts(make_sqlite: MakeSqlite) -> None:
    sqlite = make_sqlite(":memory:")
    jobs = await _start(sqlite, 8)
    await sqlite.cancel("q", [jobs[0].envelope.dispatch_id])
    stale = report(jobs[3])
    await sqlite.exchange("q", session(), [report(jobs[3], ReportKind.RETURNED)], 0)
    reports = [
        report(jobs[0]),
        report(jobs[1], result=b"1"),
        report(jobs[2], ReportKind.FAILED, error="Boom: x"),
        stale,
        report(jobs[4], result=b"2", status_ttl_s=7),
        report(jobs[4], result=b"3", status_ttl_s=7),
        report(jobs[5], ReportKind.RETRY, error="Boom: y", delay_ms=60_000),
        report(jobs[6], result=b"4"),
        report(jobs[7]),
    ]
    applied, lost = Verdict.APPLIED, Verdict.LOST
    answer = await sqlite.exchange("q", session(), reports, 0)
    assert list(answer.verdicts) == [Verdict.CANCELLED, applied, applied, lost, *[applied] * 5]
    assert (await sqlite.exchange("q", session(), reports, 0)).verdicts == answer.verdicts
    found = [await sqlite.find("q", each.envelope.dispatch_id) for each in jobs]
    assert [each and (each.status.value, each.result, each.error) for each in found] == [
        ("cancelled", None, None),
        ("completed", b"1", None),
        ("failed", None, "Boom: x"),
        ("pending", None, None),
        ("completed", b"2", None),
        ("scheduled_for_retry", None, "Boom: y"),
        ("completed", b"4", None),
        ("completed", None, None),
    ]


@pytest.mark.parametrize("results", [[b"1"] * 20, [b"%d" % (number % 3) for number in range(20)], range(20)])
async def test_results_of_one_call_stay_apart(make_sqlite: MakeSqlite, results: list[object]) -> None:
    sqlite = make_sqlite(":memory:")
    jobs = await _start(sqlite, 20)
    texts = [str(result).encode() for result in results]
    pairs = list(zip(jobs, texts, strict=True))
    answer = await sqlite.exchange("q", session(), [report(job, result=text) for job, text in pairs], 0)
    assert answer.verdicts == (Verdict.APPLIED,) * 20
    for job, text in pairs:
        found = await sqlite.find("q", job.envelope.dispatch_id)
        assert found is not None
        assert found.result == text


# ---- calls at once


async def test_calls_at_once_of_one_worker_get_their_own_answers(make_sqlite: MakeSqlite) -> None:
    sqlite = make_sqlite(":memory:")
    me = session()
    await sqlite.enqueue("q", [envelope() for _ in range(30)])
    held: list[Delivery] = []
    seen: set[str] = set()
    while len(seen) < 30:
        lots = [held[:3], held[3:], [], []]
        calls = [
            sqlite.exchange("q", me, [report(each) for each in lot], slots, suspects=number == 1)
            for number, (lot, slots) in enumerate(zip(lots, (2, 3, 0, 1), strict=True))
        ]
        answers = await asyncio.gather(*calls)
        assert [answer.verdicts for answer in answers] == [(Verdict.APPLIED,) * len(lot) for lot in lots]
        assert all(len(answer.started) <= slots for answer, slots in zip(answers, (2, 3, 0, 1), strict=True))
        held = [each for answer in answers for each in answer.started]
        assert not seen.intersection(each.envelope.dispatch_id for each in held)
        seen.update(each.envelope.dispatch_id for each in held)


async def test_of_calls_at_once_a_suspect_goes_to_one_that_asked_for_it(make_sqlite: MakeSqlite) -> None:
    clock = [1_700_000_000_000]
    sqlite = make_sqlite(":memory:", clock=lambda: clock[0], lease=100)
    await sqlite.enqueue("q", [envelope(dispatch_id="suspect", priority=0)])
    for _ in range(2):
        await sqlite.exchange("q", session(), [], 1)
        clock[0] += 10_000
    await sqlite.exchange("q", session(), [], 0)
    await sqlite.enqueue("q", [envelope() for _ in range(3)])
    clock[0] += 10_000
    # The reclaiming comes with a first look, the end of its pause later.
    await sqlite.exchange("q", session(), [], 1, suspects=False)
    clock[0] += 10_000
    me = session()
    without, with_one = await asyncio.gather(
        sqlite.exchange("q", me, [], 1, suspects=False), sqlite.exchange("q", me, [], 1, suspects=True)
    )
    assert [each.envelope.dispatch_id for each in with_one.started] == ["suspect"]
    assert [each.deliveries for each in without.started] == [1]


def test_steps_are_joined_in_their_order() -> None:
    me = session()
    steps = [Step("q", me, [], slots, suspects, False) for slots, suspects in ((2, False), (3, True))]
    assert joined(steps) == Step("q", me, [], 5, True, False)
    assert joined([steps[0], Step("q", me, [], 0, True, False)]) == Step("q", me, [], 2, False, False)
    assert joined(steps[:1]) == steps[0]


# ---- what pages hold


async def test_starting_and_ending_jobs_splits_no_pages_of_their_table(make_sqlite: MakeSqlite) -> None:
    """Rows leave room for what a start writes."""
    sqlite = make_sqlite(durability="memory")
    await sqlite.enqueue("q", [envelope() for _ in range(1000)])
    path = sqlite.identity.removeprefix("sqlite:///")

    def pages() -> int:
        connection = sqlite3.connect(path)
        try:
            found = connection.execute("SELECT COUNT(*) FROM dbstat WHERE name = 'jobs'").fetchone()
        except sqlite3.OperationalError:
            pytest.skip("this SQLite was built without dbstat")
        finally:
            connection.close()
        return int(found[0])

    before = pages()
    worker, held = session("worker-1"), list[Delivery]()
    for _ in range(11):
        answer = await sqlite.exchange("q", worker, [report(each, result=b"null") for each in held], 100)
        held = list(answer.started)
    assert (await sqlite.overview("q")).counts[JobStatus.COMPLETED] == 1000
    assert pages() <= before * 1.1
