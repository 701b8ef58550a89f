"""How slots are shared."""

import sys
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heracles.worker.slots import Slots, Suspects


def slots(cap: int | None, **limits: int) -> Slots:
    made = Slots(cap)
    for queue, limit in limits.items():
        made.add(queue, limit, lambda: None)
    return made


def test_without_a_cap_each_queue_has_its_own() -> None:
    both = slots(None, a=2, b=3)
    assert [both.take("a"), both.take("b"), both.take("a")] == [2, 3, 0]
    both.give_back("a")
    assert both.share("a") == 1


def test_a_cap_holds_for_all_together() -> None:
    both = slots(3, a=2, b=3)
    assert [both.take("a"), both.take("b")] == [2, 1]
    assert not both.has_room("b")


def test_a_busy_queue_leaves_the_next_slot_to_one_that_wants_it() -> None:
    both = slots(1, a=1, b=1)
    assert both.take("a") == 1
    both.want("a", True)
    both.want("b", True)
    both.give_back("a")
    assert [both.take("a"), both.take("b")] == [0, 1]
    both.give_back("b")
    assert [both.take("b"), both.take("a")] == [0, 1]


def test_what_is_free_is_dealt_out_evenly() -> None:
    three = slots(10, a=10, b=10, c=1)
    for queue in "abc":
        three.want(queue, True)
    assert [three.take("a"), three.take("b"), three.take("c")] == [5, 4, 1]


def test_a_queue_that_uses_less_comes_first() -> None:
    both = slots(6, a=6, b=6)
    assert both.take("a") == 6
    both.want("a", True)
    both.want("b", True)
    both.give_back("a", 4)
    assert [both.share("a"), both.share("b")] == [1, 3]


def test_a_queue_without_a_reason_to_look_takes_nothing_from_others() -> None:
    both = slots(4, a=4, b=4)
    both.want("a", True)
    assert both.take("a") == 4


def test_who_wants_a_slot_is_woken_when_one_is_free() -> None:
    woken: list[str] = []
    both = Slots(1)
    both.add("a", 1, lambda: woken.append("a"))
    both.add("b", 1, lambda: woken.append("b"))
    both.take("a")
    both.want("b", True)
    both.give_back("a")
    assert woken == ["b"]


def test_jobs_that_run_already_are_booked_even_beyond_the_limit() -> None:
    one = slots(None, a=1)
    assert one.take("a") == 1
    one.give_back("a", -1)
    assert one.share("a") == 0
    one.give_back("a", 2)
    assert one.share("a") == 1


@given(
    cap=st.integers(1, 20),
    limits=st.lists(st.integers(1, 8), min_size=1, max_size=5),
    moves=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), max_size=60),
)
def test_never_more_than_allowed_and_never_idle_while_somebody_wants(
    cap: int, limits: list[int], moves: list[tuple[int, bool, bool]]
) -> None:
    names = [f"q{i}" for i in range(len(limits))]
    all_of = slots(cap, **dict(zip(names, limits, strict=True)))
    used = dict.fromkeys(names, 0)
    for index, takes, wants in moves:
        name = names[index % len(names)]
        all_of.want(name, wants)
        if takes:
            used[name] += all_of.take(name)
        elif used[name]:
            used[name] -= 1
            all_of.give_back(name)
        assert sum(used.values()) <= cap
        assert all(used[n] <= limit for n, limit in zip(names, limits, strict=True))
    for name in names:
        all_of.want(name, True)
    if sum(used.values()) < min(cap, sum(limits)):
        assert sum(all_of.share(name) for name in names) > 0


def test_one_suspect_at_a_time() -> None:
    suspects = Suspects()
    assert suspects.ask()
    assert not suspects.ask()
    suspects.begin()
    suspects.answered()
    assert not suspects.ask()
    suspects.end()
    assert suspects.ask()


@pytest.mark.parametrize("cap", [1, 2, 5])
def test_over_time_all_queues_get_the_same(cap: int) -> None:
    three = slots(cap, a=5, b=5, c=5)
    started = dict.fromkeys("abc", 0)
    running: list[str] = []
    for queue in "abc":
        three.want(queue, True)
    for _ in range(300):
        for queue in "abc":
            count = three.take(queue)
            started[queue] += count
            running += [queue] * count
        three.give_back(running.pop(0))
    assert max(started.values()) - min(started.values()) <= cap + 1


def test_a_share_among_a_thousand_queues_takes_few_calls() -> None:
    names = [f"queue-{number}" for number in range(1000)]
    made = slots(32, **dict.fromkeys(names, 32))
    for name in names:
        made.want(name, True)
    calls: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        shares = [made.share(name) for name in (names[0], names[500], names[-1])]
    finally:
        sys.setprofile(None)
    assert shares == [1, 0, 0]
    # Not one for each of those that wait: a burst on a thousand queues held its worker up for half a second.
    assert len(calls) < 30
