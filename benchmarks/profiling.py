"""``python -m benchmarks.profiling producer|bulk|worker COUNT``: where the time of one job goes in a client.

A timer interrupts the process a thousand times a second, and each time the innermost line of Heracles counts; what C
code does counts for the line that calls it. Prints microseconds a job, by part, as one JSON object. Runs on asyncio's
own event loop, whose Python code can be told apart from the rest; on uvloop its part is about half.
"""

import asyncio
import collections
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import FrameType

import heracles
from benchmarks.board import Board
from benchmarks.jobs import plain_argument
from benchmarks.produce import BULK, TASKS
from benchmarks.role import Role
from benchmarks.systems.heracles_adapter import QUEUE, Noop
from heracles import Queue, Worker

_PERIOD_S = 0.001
_PACKAGE = str(Path(heracles.__file__).parent) + os.sep
_OWN = str(Path(__file__).parent) + os.sep
_ASYNCIO = str(Path(asyncio.__file__).parent) + os.sep
_WAITING, _LOOP, _REST = "waiting for Redis", "event loop", "the rest"
#: By file, or file and function, below ``heracles/``; the longest that fits counts.
_PRODUCER: Mapping[str, str] = {
    "job/": "the job's constructor",
    "codec/signature.py": "bind",
    "codec/spec.py:bind": "bind",
    "codec/": "encode",
    "queue/envelopes.py": "envelope",
    "units.py": "envelope",
    "queue/": "dispatch and handle",
    "batching.py": "coalesce",
    "redis/": "entry and call",
    "redis/wire.py": "wire",
}
_WORKER: Mapping[str, str] = {
    "redis/": "call",
    "redis/wire.py": "wire",
    "redis/working.py": "parse",
    "redis/working.py:_report_arguments": "report",
    "redis/working.py:_size": "report",
    "redis/entries.py": "parse",
    "redis/records.py": "parse",
    "worker/": "begin",
    "worker/lane.py:_finish": "decide",
    "worker/lane.py:settle": "report",
    "worker/lane.py:_let_go": "report",
    "worker/lane.py:take_reports": "report",
    "worker/executor.py": "run",
    "worker/outcome.py": "decide",
    "worker/finisher.py": "decide",
    "worker/fetcher.py": "ask",
    "codec/": "decode",
    "job/": "run",
    "job/job.py:build": "decode",
    "units.py": "run",
}


class Sampler:
    """Counts, while it is entered, where the main thread is."""

    def __init__(self, parts: Mapping[str, str], own: str) -> None:
        self._parts = sorted(parts.items(), key=lambda part: -len(part[0]))
        self._own = own
        self._known: dict[str, str] = {}
        self._seen: collections.Counter[str] = collections.Counter()

    def __enter__(self) -> "Sampler":
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, _PERIOD_S, _PERIOD_S)
        return self

    def __exit__(self, *details: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def shares(self) -> dict[str, float]:
        """Of each part, largest first."""
        total = sum(self._seen.values())
        return {part: count / total for part, count in self._seen.most_common()}

    def _look(self, signum: int, frame: FrameType | None) -> None:
        self._seen[self._part_of(frame)] += 1

    def _part_of(self, frame: FrameType | None) -> str:
        is_in_loop = False
        while frame is not None:
            path = frame.f_code.co_filename
            if path.startswith(_PACKAGE):
                return self._named(f"{path.removeprefix(_PACKAGE)}:{frame.f_code.co_name}")
            if path.startswith(_OWN):
                # What asyncio does below the run of all is its own.
                return _LOOP if is_in_loop and frame.f_code.co_name == main.__name__ else self._own
            if path == selectors.__file__:
                return _WAITING
            is_in_loop = is_in_loop or path.startswith(_ASYNCIO)
            frame = frame.f_back
        return _LOOP if is_in_loop else _REST

    def _named(self, place: str) -> str:
        if place not in self._known:
            self._known[place] = next((part for start, part in self._parts if place.startswith(start)), _REST)
        return self._known[place]


# -------------------------------------------------------------------------------------------------------- what is run


async def _dispatch_together(queue: Queue, count: int) -> None:
    numbers = iter(range(count))

    async def dispatch() -> None:
        for number in numbers:
            await queue.dispatch(Noop(plain_argument(number)))

    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(dispatch())


async def _dispatch_bulk(queue: Queue, count: int) -> None:
    for first in range(0, count, BULK):
        await queue.dispatch_many([Noop(plain_argument(number)) for number in range(first, min(count, first + BULK))])


async def _work(queue: Queue, count: int) -> None:
    board = Board(Role.current().board)
    worker = Worker(id="profiled")
    await worker.create_queue(name=queue.name, concurrency=Role.current().concurrency)
    async with worker:
        while board.count() < count:  # noqa: ASYNC110 - a mapped file tells nobody that it has changed
            await asyncio.sleep(0.01)
    board.close()


async def _measure(run: Callable[[Queue, int], Awaitable[None]], sampler: Sampler, count: int) -> dict[str, float]:
    queue = Queue.get(QUEUE)
    if run is not _work:
        await _dispatch_together(queue, TASKS)
    began = time.perf_counter()
    with sampler:
        await run(queue, count)
    took_us = (time.perf_counter() - began) * 1e6
    return {part: share * took_us / count for part, share in sampler.shares().items()}


def main() -> None:
    """Measure what the command line names."""
    what, count = sys.argv[1], int(sys.argv[2])
    os.environ["HERACLES_URL"] = Role.current().url
    run = {"producer": _dispatch_together, "bulk": _dispatch_bulk, "worker": _work}[what]
    sampler = Sampler(_WORKER, "the job's own code") if what == "worker" else Sampler(_PRODUCER, "the caller's code")
    print(json.dumps(asyncio.run(_measure(run, sampler, count))))


if __name__ == "__main__":
    main()
