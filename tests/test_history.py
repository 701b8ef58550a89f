"""The checker of execution histories finds what is wrong, and nothing where all is well."""

import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heracles.model import JobStatus
from tests.history import (
    EVERYONE,
    AnyEvent,
    Cancelled,
    Cancelling,
    Changed,
    Counted,
    Dispatched,
    Disturbed,
    Ended,
    Finished,
    Paused,
    Returned,
    Sent,
    Started,
    append,
    check,
    ending,
    read,
    starting,
)
from tests.history.events import FAILOVER

LEASE_MS = 1000


def _dispatched(name: str, at_ms: int = 0, **more: Any) -> Dispatched:
    fields = {"queue": "q", "job_id": f"j-{name}", "sent_ms": at_ms, "acknowledged_ms": at_ms + 1, **more}
    return Dispatched(dispatch_id=name, **fields)


def _run(
    name: str, start_ms: int, end_ms: int | None, token: int = 1, outcome: str = "completed", **more: Any
) -> list[AnyEvent]:
    fields = {"queue": "q", "job_id": f"j-{name}", "worker": "w-1", "retries": 0, **more}
    start = Started(dispatch_id=name, token=token, stored_ms=start_ms, at_ms=start_ms, **fields)
    if end_ms is None:
        return [start]
    return [start, Ended(dispatch_id=name, token=token, outcome=outcome, at_ms=end_ms)]


def _finished(name: str, token: int = 1, retries: int = 0, status: JobStatus = JobStatus.COMPLETED) -> Finished:
    return Finished(dispatch_id=name, status=status, token=token, retries=retries)


Story = AnyEvent | Sequence[AnyEvent]


def _broken(*events: Story, in_hand: int = 0, patience_ms: int = 10_000) -> list[str]:
    """The rules that the history breaks."""
    flat: list[AnyEvent] = []
    for event in events:
        flat += [event] if isinstance(event, AnyEvent) else event
    return [
        sentence.split(":")[0] for sentence in check(flat, lease_ms=LEASE_MS, in_hand=in_hand, patience_ms=patience_ms)
    ]


def test_a_plain_run_is_well() -> None:
    assert _broken(_dispatched("a"), _run("a", 5, 9), _finished("a")) == []


def test_a_dispatch_that_was_not_found() -> None:
    assert _broken(_dispatched("a", is_known=False), _run("a", 5, 9), _finished("a")) == ["known_at_once"]


@pytest.mark.parametrize(
    "records",
    [[], [_finished("a"), _finished("a")], [_finished("a", status=JobStatus.RUNNING)]],
    ids=["none", "two", "unfinished"],
)
def test_a_dispatch_that_did_not_end_once(records: list[AnyEvent]) -> None:
    assert "ended_once" in _broken(_dispatched("a"), _run("a", 5, 9), records)


def test_an_outcome_of_a_run_that_had_lost_its_lease() -> None:
    killed = Disturbed(worker="w-1", how="killed", from_ms=6)
    runs = _run("a", 5, None, token=1) + _run("a", 1100, 1200, token=2, worker="w-2", outcome="raised")
    assert _broken(_dispatched("a"), killed, runs, _finished("a", token=2)) == ["ended_once"]


def test_a_completed_run_that_was_recorded_as_failed() -> None:
    failed = _finished("a", status=JobStatus.FAILED)
    assert _broken(_dispatched("a"), _run("a", 5, 9), failed) == ["ended_once"]
    late = msgspec.structs.replace(failed, error="TimeoutError: it ran longer than its timeout of 3 ms")
    assert _broken(_dispatched("a"), _run("a", 5, 9), late) == []


def test_retries_are_well() -> None:
    runs = _run("a", 5, 9, token=1, outcome="raised") + _run("a", 50, 60, token=2, retries=1)
    assert _broken(_dispatched("a"), runs, _finished("a", token=2, retries=1)) == []


def test_an_attempt_that_is_missing() -> None:
    runs = _run("a", 5, 9, token=1, outcome="raised") + _run("a", 50, 60, token=2, retries=2)
    assert _broken(_dispatched("a"), runs, _finished("a", token=2, retries=2)) == ["attempts_have_no_gap"]


def test_a_retry_that_was_counted_and_never_ran() -> None:
    assert _broken(_dispatched("a"), _run("a", 5, 9), _finished("a", retries=1)) == ["attempts_have_no_gap"]


@pytest.mark.parametrize(
    ("how", "from_ms", "until_ms", "broken"),
    [
        ("killed", 6, None, []),
        ("killed", 1, 4, ["reruns_have_a_cause"]),
        ("frozen", 6, 1100, []),
        ("frozen", 6, 506, []),
        ("frozen", 6, 400, ["reruns_have_a_cause"]),
        ("cut off", 2000, 4000, ["reruns_have_a_cause"]),
    ],
)
def test_a_rerun_needs_a_lost_worker(how: str, from_ms: int, until_ms: int | None, broken: list[str]) -> None:
    disturbed = Disturbed(worker="w-1", how=how, from_ms=from_ms, until_ms=until_ms)
    runs = _run("a", 5, None, token=1) + _run("a", 1100, 1200, token=2, worker="w-2")
    assert _broken(_dispatched("a"), disturbed, runs, _finished("a", token=2)) == broken


def test_a_completed_job_that_runs_again() -> None:
    runs = _run("a", 5, 9, token=1) + _run("a", 50, 60, token=2)
    assert _broken(_dispatched("a"), runs, _finished("a", token=2)) == ["reruns_have_a_cause"]


def test_what_was_given_back_may_run_again() -> None:
    runs = _run("a", 5, 9, token=1, outcome="stopped") + _run("a", 50, 60, token=2)
    assert _broken(_dispatched("a"), runs, _finished("a", token=2)) == []


def test_a_token_that_does_not_rise() -> None:
    runs = _run("a", 5, 9, token=2, outcome="stopped") + _run("a", 50, 60, token=1)
    assert _broken(_dispatched("a"), runs, _finished("a", token=1)) == ["tokens_rise"]


def _exclusive(name: str, **more: Any) -> Dispatched:
    return _dispatched(name, job_id="j", no_overlap=True, **more)


def test_exclusive_runs_that_overlap() -> None:
    runs = _run("a", 5, 20, job_id="j") + _run("b", 15, 30, job_id="j")
    ends = [_finished("a"), _finished("b")]
    assert _broken(_exclusive("a"), _exclusive("b"), runs, ends) == ["exclusive_runs_are_disjoint"]
    apart = _run("a", 5, 15, job_id="j") + _run("b", 15, 30, job_id="j")
    assert _broken(_exclusive("a"), _exclusive("b"), apart, ends) == []


def test_an_exclusive_run_ends_with_its_worker() -> None:
    killed = Disturbed(worker="w-1", how="killed", from_ms=10)
    runs = _run("a", 5, None, job_id="j") + _run("a", 1100, 1200, token=2, worker="w-2", job_id="j")
    assert _broken(_exclusive("a"), killed, runs, _finished("a", token=2)) == []


@pytest.mark.parametrize(
    ("start_ms", "outcome", "broken"),
    [(115, "completed", []), (114, "completed", ["exclusive_runs_keep_their_distance"]), (50, "stopped", [])],
)
def test_the_distance_of_exclusive_runs(start_ms: int, outcome: str, broken: list[str]) -> None:
    runs = _run("a", 5, 15, job_id="j", outcome=outcome) + _run("b", start_ms, 200, job_id="j")
    ends = [_finished("a", status=JobStatus.CANCELLED if outcome == "stopped" else JobStatus.COMPLETED), _finished("b")]
    assert _broken(_exclusive("a", overlap_delay_ms=100), _exclusive("b"), runs, ends) == broken


def test_an_early_start() -> None:
    runs = _run("a", 99, 120)
    assert _broken(_dispatched("a", scheduled_for_ms=100), runs, _finished("a")) == ["never_early"]


def test_a_start_in_a_pause() -> None:
    pause = Paused(queue="q", from_ms=100, until_ms=200)
    for start_ms, broken in ((99, []), (150, ["nothing_starts_in_a_pause"]), (200, [])):
        assert _broken(_dispatched("a"), pause, _run("a", start_ms, 300), _finished("a")) == broken
    elsewhere = msgspec.structs.replace(pause, queue="other")
    assert _broken(_dispatched("a"), elsewhere, _run("a", 150, 300), _finished("a")) == []


def test_a_priority_that_is_overtaken() -> None:
    events = [
        _dispatched("urgent", 10, priority=1),
        _dispatched("other", 0, priority=5),
        *_run("other", 50, 60),
        *_run("urgent", 60, 70),
        _finished("urgent"),
        _finished("other"),
    ]
    assert _broken(events) == ["priorities_hold"]
    assert _broken(events, in_hand=1) == []


def test_what_started_before_the_urgent_one_was_ready_has_not_overtaken_it() -> None:
    events = [_dispatched("urgent", 50, priority=1), _dispatched("other", 0, priority=5)]
    runs = _run("other", 50, 60) + _run("urgent", 60, 70)
    assert _broken(events, runs, _finished("urgent"), _finished("other")) == []


def test_a_line_that_is_out_of_order() -> None:
    line = [_exclusive("a", at_ms=0), _exclusive("b", at_ms=10)]
    runs = _run("b", 50, 60, job_id="j") + _run("a", 60, 70, job_id="j")
    ends = [_finished("a"), _finished("b")]
    assert _broken(*line, runs, ends) == ["job_ids_are_first_in_first_out"]
    at_once = [_exclusive("a", at_ms=0), _exclusive("b", at_ms=1)]
    assert _broken(*at_once, runs, ends) == [], "which was first is not known"


@pytest.mark.parametrize(
    ("event", "broken"),
    [
        (Paused(queue="other", from_ms=1), ["queues_are_served"]),
        (Paused(queue="q", from_ms=100, until_ms=10_000), []),
        (Disturbed(worker=EVERYONE, how="without a store", from_ms=100, until_ms=10_000), []),
        (Disturbed(worker="w-1", how="frozen", from_ms=100, until_ms=10_000), ["queues_are_served"]),
    ],
)
def test_a_queue_that_nobody_serves(event: AnyEvent, broken: list[str]) -> None:
    late = [*_run("a", 11_000, 11_001), *_run("b", 11_001, 11_002)]
    told = [_dispatched("a"), _dispatched("b"), event]
    assert _broken(told, late, _finished("a"), _finished("b")) == broken


def test_a_queue_that_is_busy_is_served() -> None:
    late = [*_run("a", 11_000, 11_001), *_run("b", 5000, 5001)]
    assert _broken(_dispatched("a"), _dispatched("b"), late, _finished("a"), _finished("b")) == []


# ------------------------------------------------------------------------------------------------ what was sent


def _sent(name: str, *ends: JobStatus) -> Sent:
    return Sent(queue="q", dispatch_id=name, kind="plain", at_ms=0, ends=ends or (JobStatus.COMPLETED,))


def test_what_was_sent_and_not_acknowledged_may_be_unknown() -> None:
    assert _broken(_sent("a")) == []


def test_what_was_sent_and_is_known_has_ended() -> None:
    assert _broken(_sent("a"), _run("a", 5, 9), _finished("a")) == []
    assert _broken(_sent("a"), _finished("a", status=JobStatus.RUNNING)) == ["ended_once"]


def test_a_run_of_what_nobody_sent() -> None:
    assert _broken(_run("a", 5, 9)) == ["only_what_was_sent_runs"]


def test_an_end_that_the_code_does_not_make() -> None:
    failed: list[Story] = [_sent("a"), _run("a", 5, 9, outcome="raised"), _finished("a", status=JobStatus.FAILED)]
    assert _broken(*failed) == ["ends_as_its_code_does"]
    may_fail = _sent("a", JobStatus.FAILED)
    assert _broken(may_fail, *failed[1:]) == []


@pytest.mark.parametrize(("deaths", "broken"), [(3, []), (2, ["ends_as_its_code_does"])])
def test_a_job_that_is_given_up_has_lost_workers(deaths: int, broken: list[str]) -> None:
    runs: list[Story] = [_run("a", 1000 * n, None, token=n, worker=f"w-{n}") for n in range(1, deaths + 1)]
    killed = [Disturbed(worker=f"w-{n}", how="killed", from_ms=1000 * n + 1) for n in range(1, deaths + 1)]
    error = "JobLostError: its worker died or was cut off 5 times while running it (max_deliveries)"
    given_up = Finished(dispatch_id="a", status=JobStatus.FAILED, token=9, retries=0, error=error)
    assert _broken(_sent("a"), *runs, killed, given_up) == broken


def test_a_result_of_another_run() -> None:
    runs = _run("a", 5, 9, token=2)
    for result, broken in ((2, []), (1, ["results_are_of_the_run_that_counts"])):
        record = msgspec.structs.replace(_finished("a", token=2), result=result)
        assert _broken(_dispatched("a"), runs, record) == broken


def test_a_result_that_was_told_and_is_not_the_one_stored() -> None:
    record = msgspec.structs.replace(_finished("a", token=2), result=2)
    for told, broken in ((2, []), (1, ["results_are_of_the_run_that_counts"])):
        returned = Returned(dispatch_id="a", result=told, at_ms=10)
        assert _broken(_dispatched("a"), _run("a", 5, 9, token=2), returned, record) == broken


# -------------------------------------------------------------------------------------------------- cancellation


def _cancelled(name: str, at_ms: int, answer: bool = True) -> list[AnyEvent]:
    asked = Cancelling(dispatch_id=name, at_ms=at_ms - 1)
    return [asked, Cancelled(dispatch_id=name, answer=answer, at_ms=at_ms)]


def test_what_was_cancelled_ends_cancelled() -> None:
    ended = _finished("a", status=JobStatus.CANCELLED)
    assert _broken(_sent("a"), _cancelled("a", 10), ended) == []
    assert _broken(_sent("a"), _cancelled("a", 10), _run("a", 5, 9), _finished("a")) == ["cancelled_as_told"]
    assert _broken(_sent("a"), _cancelled("a", 10, answer=False), _run("a", 5, 9), _finished("a")) == []


def test_what_was_cancelled_starts_no_more() -> None:
    late = _run("a", 15, 20, outcome="stopped")
    ended = _finished("a", status=JobStatus.CANCELLED)
    assert _broken(_sent("a"), _cancelled("a", 10), late, ended) == ["cancelled_as_told"]


def test_a_cancellation_that_nobody_asked_for() -> None:
    assert _broken(_sent("a"), _finished("a", status=JobStatus.CANCELLED)) == ["cancelled_as_told"]


# ------------------------------------------------------------------------------------------- what the store has told


def _changes(name: str, *statuses: JobStatus | None) -> list[AnyEvent]:
    return [
        Changed(queue="q", dispatch_id=name if status else "", status=status, at_ms=number)
        for number, status in enumerate(statuses)
    ]


PENDING, RUNNING, COMPLETED, CANCELLED = (
    JobStatus.PENDING,
    JobStatus.RUNNING,
    JobStatus.COMPLETED,
    JobStatus.CANCELLED,
)


@pytest.mark.parametrize(
    ("statuses", "broken"),
    [
        ((PENDING, RUNNING, COMPLETED), 0),
        ((PENDING, RUNNING, PENDING, RUNNING, COMPLETED), 0),
        ((RUNNING, COMPLETED), 1),
        ((PENDING, COMPLETED), 1),
        ((PENDING, RUNNING, COMPLETED, COMPLETED), 1),
        ((PENDING, RUNNING, COMPLETED, CANCELLED), 2),
        ((PENDING, RUNNING), 1),
        ((PENDING, None), 0),
    ],
)
def test_changes_that_were_told(statuses: Sequence[JobStatus | None], broken: int) -> None:
    told = _changes("a", *statuses)
    assert _broken(_sent("a"), told, _run("a", 5, 9), _finished("a")) == ["changes_are_legal"] * broken


def test_counts_that_do_not_agree_with_the_records() -> None:
    plain: list[Story] = [_sent("a"), _run("a", 5, 9), _finished("a")]
    assert _broken(*plain, Counted(queue="q", counts={COMPLETED: 1})) == []
    assert _broken(*plain, Counted(queue="q", counts={COMPLETED: 2})) == ["counts_agree"]
    assert _broken(*plain, Counted(queue="q", counts={COMPLETED: 1, RUNNING: 1})) == ["counts_agree"]


# -------------------------------------------------------------------------------------------------- disturbances


def test_all_workers_may_be_without_a_store() -> None:
    away = Disturbed(worker=EVERYONE, how="without a store", from_ms=6, until_ms=600)
    runs = _run("a", 5, 2000, token=1) + _run("a", 1100, 1200, token=2, worker="w-2")
    assert _broken(_dispatched("a"), away, runs, _finished("a", token=2)) == []


@pytest.mark.parametrize(("between_ms", "broken"), [(100, []), (400, ["reruns_have_a_cause"])])
def test_disturbances_that_follow_each_other_closely_are_one(between_ms: int, broken: list[str]) -> None:
    frozen = Disturbed(worker="w-1", how="frozen", from_ms=10, until_ms=310)
    away = Disturbed(worker=EVERYONE, how="without a store", from_ms=310 + between_ms, until_ms=610 + between_ms)
    runs = _run("a", 5, 2000, token=1) + _run("a", 1100, 1200, token=2, worker="w-2")
    assert _broken(_dispatched("a"), frozen, away, runs, _finished("a", token=2)) == broken


def test_a_run_is_lost_when_first_something_befalls_its_worker() -> None:
    frozen = Disturbed(worker="w-1", how="frozen", from_ms=10, until_ms=3000)
    killed = Disturbed(worker="w-1", how="killed", from_ms=5000)
    runs = _run("a", 5, 3000, job_id="j", outcome="stopped")
    runs += _run("a", 1100, 1200, token=2, worker="w-2", job_id="j")
    assert _broken(_exclusive("a"), killed, frozen, runs, _finished("a", token=2)) == []


def test_a_failover_may_forget_a_start_and_an_end() -> None:
    failover = Disturbed(worker=EVERYONE, how=FAILOVER, from_ms=0, until_ms=100)
    again = _run("a", 50, 60, worker="w-2")
    forgotten: list[AnyEvent] = [*_run("a", 5, 9), *again]
    assert _broken(_dispatched("a"), failover, forgotten, _finished("a")) == []
    assert _broken(_dispatched("a"), forgotten, _finished("a")) == ["reruns_have_a_cause", "tokens_rise"]


def test_a_dispatch_that_is_repeated_is_the_first_one() -> None:
    again = _dispatched("a", 1000, scheduled_for_ms=5000)
    assert _broken(_dispatched("a"), again, _run("a", 5, 9), _finished("a")) == []


def _append_many(path: Path, number: int) -> None:
    for index in range(200):
        starting(
            path, queue="q", job_id="j", dispatch_id=f"{number}-{index}", worker="w", token=1, retries=0, stored_ms=1
        )
        ending(path, dispatch_id=f"{number}-{index}", token=1, outcome="completed")


def test_several_processes_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "history"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append_many, args=(path, number)) for number in range(3)]
    for process in processes:
        process.start()
    append(path, Paused(queue="q", from_ms=1))
    for process in processes:
        process.join()
    events = read(path)
    assert len(events) == 3 * 400 + 1
    assert {type(event) for event in events} == {Started, Ended, Paused}
