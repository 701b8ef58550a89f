"""What faults work on: the store, the processes, a random source, and an agenda of what has to be undone later."""

import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from heracles.units import now_ms
from tests import history
from tests.history import EVERYONE, Disturbed
from tests.history.events import WITHOUT_STORE
from tests.soak.plan import Plan
from tests.soak.processes import Child, Fleet
from tests.soak.sites import Site

#: Between two steps of healing: some look again until something holds.
_HEAL_S = 0.02


class Field:
    """Used by one thread."""

    def __init__(self, plan: Plan, folder: Path, site: Site) -> None:
        self.plan, self.site = plan, site
        self.rng = random.Random(plan.seed)
        self.history = folder / "history.jsonl"
        self.problems: list[str] = []
        self.tally: Counter[str] = Counter()
        self.fleet: Fleet
        self.producers: list[Child] = []
        self._holders = 0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    @property
    def lease_s(self) -> float:
        """What workers have."""
        return self.plan.lease_ms / 1000

    def note(self, event: history.AnyEvent) -> None:
        """Write an event down."""
        history.append(self.history, event)

    # ------------------------------------------------------------------------------------------------------ agenda

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do it then."""
        heapq.heappush(self._agenda, (time.monotonic() + seconds, next(self._number), action))

    def catch_up(self) -> None:
        """Do what is due."""
        while self._agenda and self._agenda[0][0] <= time.monotonic():
            heapq.heappop(self._agenda)[2]()

    def heal(self) -> None:
        """Do all that is on the agenda now, and what comes of it."""
        while self._agenda:
            heapq.heappop(self._agenda)[2]()
            self.fleet.tend()
            if self._agenda:
                time.sleep(_HEAL_S)

    # ------------------------------------------------------------------------------------------------------ outages

    @property
    def is_store_disturbed(self) -> bool:
        """Whether something is done to the store: one thing at a time."""
        return self._holders > 0

    def hold_store(self) -> Callable[[], None]:
        """Have nothing more done to the store; returns what ends it."""
        self._holders += 1

        def release() -> None:
            self._holders -= 1

        return release

    def begin_outage(self, how: str = WITHOUT_STORE, since_ms: int | None = None) -> Callable[[], None]:
        """All workers are without a store from now on; returns what ends it."""
        from_ms = now_ms() if since_ms is None else since_ms
        release = self.hold_store()

        def end() -> None:
            release()
            self.note(Disturbed(worker=EVERYONE, how=how, from_ms=from_ms, until_ms=now_ms()))

        return end


#: Does its harm to a field, or returns False where there is nothing to do it to now.
Fault = Callable[[Field], bool]
