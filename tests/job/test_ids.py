"""Generated ids: time-ordered, unique, also across threads and forks."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from heracles.units import IdSource, base62, new_id


def test_ids_rise_and_are_of_one_length() -> None:
    ids = [new_id() for _ in range(50_000)]
    assert ids == sorted(set(ids))
    assert {len(made) for made in ids} == {16}


def test_a_clock_that_is_set_back_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([5000, 5000, 4000, 3000, 6000, 5999])
    monkeypatch.setattr("heracles.units.now_ms", lambda: next(times))
    source = IdSource()
    ids = [source() for _ in range(6)]
    assert ids == sorted(set(ids))
    assert [made[:7] for made in ids] == [base62(5000, 7)] * 4 + [base62(6000, 7)] * 2


def test_a_number_that_carries_over_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heracles.units.now_ms", lambda: 5000)
    source = IdSource()
    first = source()
    source._next = 62**5 - 3
    ids = [source() for _ in range(6)]
    assert ids == sorted(set(ids))
    assert [made[7:] for made in ids] == [base62(62**5 - 3 + n, 9) for n in range(6)]
    source._next = 62**9 - 1
    last_of_this_ms, first_of_next = source(), source()
    assert first < last_of_this_ms < first_of_next
    assert first_of_next[:7] == base62(5001, 7)


def test_many_at_once_are_those_that_would_come_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heracles.units.now_ms", lambda: 5000)
    source = IdSource()
    source()
    source._next = 62**5 - 3
    ids = [*source.many(9000), source()]
    assert [made[7:] for made in ids] == [base62(62**5 - 3 + n, 9) for n in range(9001)]
    source._next = 62**9 - 2
    ids = source.many(4)
    assert ids == sorted(set(ids))
    assert [made[:7] for made in ids] == [base62(5000, 7)] * 2 + [base62(5001, 7)] * 2
    assert source.many(0) == []


def test_threads_never_make_the_same() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [one for some in pool.map(lambda _: [new_id() for _ in range(2000)], range(16)) for one in some]
    assert len(set(made)) == len(made)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_does_not_go_on_with_its_parent_s() -> None:
    new_id()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 16).decode()
    os.close(reading)
    os.close(writing)
    assert new_id()[7:14] != theirs[7:14]
