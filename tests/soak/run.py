"""One soak from start to end: processes and faults, then quiet, then the verdict."""

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from heracles.units import now_ms
from heracles.wiring import transport_from_url
from tests import history
from tests.history import EVERYONE, AnyEvent, Disturbed
from tests.history.events import WITHOUT_STORE
from tests.soak.faults import FAULTS
from tests.soak.field import Field
from tests.soak.plan import WATCHING, Plan
from tests.soak.processes import Child, Fleet, WorkerProcess, process_environment
from tests.soak.sites import Site
from tests.soak.verdict import drained, violations, write_records

_TICK_S = 0.02
#: A driver that did not run for so long: nobody else may have.
_STALL_S = 0.25
_BETWEEN_LINES_S = 10.0
_READY_S = 60.0
_END_S = 60.0
_LEFT_S, _LEFT_LOOK_S = 30.0, 0.5

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """What a soak has shown."""

    plan: Plan
    events: Sequence[AnyEvent]
    violations: Sequence[str]
    """Of the history."""
    problems: Sequence[str]
    """Of processes: one that ended as it should not have, or did not end."""
    faults: Counter[str]
    drain_s: float

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.violations and not self.problems


class Soak:
    """Runs in the main thread, since the kernel ends what other threads have started with them."""

    def __init__(self, plan: Plan, site: Site, folder: Path, tell: Tell) -> None:
        self._plan, self._site, self._folder, self._tell = plan, site, folder, tell
        self._field = Field(plan, folder, site)
        self._watcher: Child

    def run(self) -> Result:
        """All of it. Whatever happens, no process is left behind."""
        self._plan.write(self._folder)
        try:
            self._site.start()
            with self._processes():
                self._disturb()
                drain_s = self._quieten()
            events = history.read(self._field.history)
            field = self._field
            return Result(self._plan, events, violations(events, self._plan), field.problems, field.tally, drain_s)
        finally:
            self._site.stop()

    # --------------------------------------------------------------------------------------------------- processes

    @contextlib.contextmanager
    def _processes(self) -> Iterator[None]:
        field, plan = self._field, self._plan
        workers = [
            WorkerProcess(number, plan, self._folder, self._environment(self._site.url_of_worker(number)))
            for number in range(1, plan.workers + 1)
        ]
        field.fleet = Fleet(workers, field.rng, field.note, field.problems)
        env = self._environment(self._site.url)
        self._watcher = Child("watcher", ("tests.soak.watch",), self._folder, env)
        field.producers = [
            Child(f"producer-{number}", ("tests.soak.produce",), self._folder, env)
            for number in range(1, plan.producers + 1)
        ]
        try:
            self._watcher.start()
            field.fleet.start()
            self._await_watcher()
            for producer in field.producers:
                producer.start()
            yield
        finally:
            for child in (*workers, *field.producers, self._watcher):
                child.kill()

    def _environment(self, url: str) -> dict[str, str]:
        return dict(process_environment(self._folder, url, self._site.options_text))

    def _await_watcher(self) -> None:
        deadline = time.monotonic() + _READY_S
        while not (self._folder / WATCHING).exists():
            if time.monotonic() > deadline or not self._watcher.is_running:
                raise RuntimeError(f"the watcher does not see any events: {self._watcher.log.read_text()[-2000:]}")
            time.sleep(_TICK_S)

    # ------------------------------------------------------------------------------------------------------ faults

    def _disturb(self) -> None:
        field = self._field
        start = time.monotonic()
        end, next_fault, next_line = start + self._plan.seconds, start + self._plan.calm_s, start
        while (now := self._tick()) < end:
            if now >= next_fault and self._plan.faults:
                # Where one cannot be done now, another one is tried at the next turn.
                next_fault = now + (field.rng.expovariate(1 / self._plan.calm_s) if self._harm() else 0)
            if now >= next_line:
                next_line = now + _BETWEEN_LINES_S
                self._tell(f"{now - start:5.0f} s  {self._progress()}")

    def _harm(self) -> bool:
        name = self._field.rng.choice(self._plan.faults)
        is_done = FAULTS[name](self._field)
        self._field.tally[name] += is_done
        return is_done

    def _tick(self) -> float:
        """Do what is due; the time."""
        before = time.monotonic()
        time.sleep(_TICK_S)
        now = time.monotonic()
        if now - before > _STALL_S:
            at_ms = now_ms()
            stalled_ms = round(1000 * (now - before))
            self._field.tally["stalls of the machine"] += 1
            self._field.note(Disturbed(worker=EVERYONE, how=WITHOUT_STORE, from_ms=at_ms - stalled_ms, until_ms=at_ms))
        self._field.catch_up()
        self._field.fleet.tend()
        return now

    def _progress(self) -> str:
        counts = Counter(type(event).__name__ for event in history.read(self._field.history))
        faults = sum(self._field.tally.values())
        return (
            f"{counts['Dispatched']} dispatched, {counts['Started']} started, {counts['Ended']} ended, {faults} faults"
        )

    # ------------------------------------------------------------------------------------------------------- quiet

    def _quieten(self) -> float:
        """Stop the faults and then the producers, wait for all jobs, read the records; how long the jobs took."""
        self._field.heal()
        drain_s = asyncio.run(self._drain_and_read())
        self._field.fleet.end()
        return drain_s

    async def _drain_and_read(self) -> float:
        transport = transport_from_url(self._site.url, **self._site.options)
        tending = asyncio.create_task(self._tend())
        try:
            self._watcher.signal(signal.SIGUSR1)
            for producer in self._field.producers:
                await self._end(producer)
            self._tell("no more faults, no more dispatches: draining")
            start = time.monotonic()
            if left := await drained(transport, self._plan.drain_s):
                self._field.problems.append(left)
            drain_s = time.monotonic() - start
            await self._end(self._watcher)
            await write_records(transport, self._field.history)
            await self._check_leftovers()
            return drain_s
        finally:
            tending.cancel()
            await transport.close()

    async def _end(self, child: Child) -> None:
        child.signal(signal.SIGTERM)
        deadline = time.monotonic() + _END_S
        while child.is_running and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing tells of its end
            await asyncio.sleep(_TICK_S)
        # One that was started a moment ago knows no signals yet.
        if child.code not in (0, -signal.SIGTERM):
            self._field.problems.append(f"{child.label} ended with {child.code}: {child.log}")

    async def _check_leftovers(self) -> None:
        """Code that was cancelled may go on for a while, and a lease for as long."""
        deadline = time.monotonic() + _LEFT_S
        while left := self._site.leftovers():
            if time.monotonic() > deadline:
                self._field.problems.append(f"{len(left)} things are left in the store: {', '.join(left[:10])}")
                return
            await asyncio.sleep(_LEFT_LOOK_S)

    async def _tend(self) -> None:
        """Poison goes on killing workers."""
        while True:
            self._field.fleet.tend()
            await asyncio.sleep(_TICK_S)
