"""What is dispatched in a soak: kinds of jobs, how often each comes, and what each may come to."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tests.soak.jobs import (
    Alone,
    AloneInThread,
    BlockLoop,
    Parent,
    Poison,
    TakeTooLong,
    TakeTooLongInThread,
    Wait,
    WaitInThread,
)
from tests.soak.sending import EITHER, FAILS, Piece

#: Failed runs follow each other quickly, or the soak would mostly wait for them.
_RETRY_DELAY_MS = 200
_ALONE_IDS = 4
#: Kills every worker that starts it.
ALWAYS = 1000


Draw = Callable[[random.Random], Piece]


def _quick(rng: random.Random) -> Piece:
    return Piece(kind="quick", job=Wait, args=(rng.randrange(30),))


def _slow(rng: random.Random) -> Piece:
    return Piece(kind="slow", job=Wait, args=(rng.randrange(500, 3000),))


def _flaky(rng: random.Random) -> Piece:
    return Piece(
        kind="flaky", job=Wait, args=(rng.randrange(50), rng.randint(1, 2)), options={"retry_delay": _RETRY_DELAY_MS}
    )


def _failing(rng: random.Random) -> Piece:
    options = {"max_retries": 1, "retry_delay": _RETRY_DELAY_MS}
    return Piece(kind="failing", job=Wait, args=(rng.randrange(50), ALWAYS), ends=FAILS, options=options)


def _threaded(rng: random.Random) -> Piece:
    return Piece(kind="threaded", job=WaitInThread, args=(rng.randrange(10, 1500), rng.random() < 0.5))


def _alone(rng: random.Random) -> Piece:
    options: dict[str, Any] = {"retry_delay": _RETRY_DELAY_MS}
    if rng.random() < 0.2:
        options["overlap_delay"] = 300
    return Piece(
        kind="alone",
        job=Alone,
        args=(rng.randrange(300), rng.choice((0, 0, 0, 1))),
        job_id=f"alone-{rng.randrange(_ALONE_IDS)}",
        is_alone=True,
        delay_ms=rng.choice((None, None, None, rng.randrange(2000))),
        options=options,
    )


def _alone_in_thread(rng: random.Random) -> Piece:
    return Piece(
        kind="alone in thread",
        job=AloneInThread,
        args=(rng.randrange(600), rng.random() < 0.5),
        job_id=f"alone-{rng.randrange(_ALONE_IDS)}",
        is_alone=True,
    )


def _scheduled(rng: random.Random) -> Piece:
    return Piece(kind="scheduled", job=Wait, args=(rng.randrange(30),), delay_ms=rng.randrange(200, 6000))


def _too_long(rng: random.Random) -> Piece:
    options = {"retry_delay": _RETRY_DELAY_MS}
    return Piece(kind="too long", job=TakeTooLong, args=(20_000,), ends=FAILS, options=options)


def _too_long_in_thread(rng: random.Random) -> Piece:
    # Where the event loop is blocked it may end before its time-out is noticed.
    options = {"retry_delay": _RETRY_DELAY_MS}
    args = (rng.randrange(2000, 3000), rng.random() < 0.5)
    return Piece(kind="too long in thread", job=TakeTooLongInThread, args=args, ends=EITHER, options=options)


def _blocking(rng: random.Random) -> Piece:
    return Piece(kind="blocking", job=BlockLoop, args=(rng.randrange(100, 3500),))


def _parent(rng: random.Random) -> Piece:
    # A store that is away fails it now and then.
    return Piece(kind="parent", job=Parent, args=(), ends=EITHER, options={"retry_delay": _RETRY_DELAY_MS})


def _kills_once(rng: random.Random) -> Piece:
    return Piece(kind="kills once", job=Poison, args=(rng.randint(1, 2),))


def _poison(rng: random.Random) -> Piece:
    return Piece(kind="poison", job=Poison, args=(ALWAYS,), ends=FAILS)


#: How many of each kind there are in a thousand or so.
MIX: Mapping[Draw, float] = {
    _quick: 330,
    _slow: 60,
    _flaky: 80,
    _failing: 30,
    _threaded: 90,
    _alone: 140,
    _alone_in_thread: 60,
    _scheduled: 120,
    _too_long: 20,
    _too_long_in_thread: 12,
    _blocking: 6,
    _parent: 40,
    _kills_once: 5,
    _poison: 0.7,
}
_PRIORITIES = (10, 10, 10, 10, 0, 3, 50, 100)


def draw(rng: random.Random) -> Piece:
    """The next one."""
    (kind,) = rng.choices(list(MIX), list(MIX.values()))
    piece = kind(rng)
    return msgspec.structs.replace(piece, priority=rng.choice(_PRIORITIES))
