"""Who may start how many jobs: the concurrency of each queue and that of the whole worker, shared fairly."""

from collections.abc import Callable, Sequence


class _Seat:
    """One queue's part. ``wants``: it has a reason to look for jobs, and would if it had a slot."""

    __slots__ = ("limit", "used", "wake", "wants")

    def __init__(self, limit: int, wake: Callable[[], None]) -> None:
        self.limit = limit
        self.wake = wake
        self.used = 0
        self.wants = False

    @property
    def room(self) -> int:
        return max(0, self.limit - self.used)


class Slots:
    """Slots are taken before the store is asked for jobs, and given back when it had fewer, or when a job has ended.

    Under a cap, what is free goes to the queue that uses least among those that want some; at a tie whoever took last
    comes last.
    """

    def __init__(self, cap: int | None) -> None:
        self._cap = cap
        self._seats: dict[str, _Seat] = {}

    def add(self, queue: str, limit: int, wake: Callable[[], None]) -> None:
        """Let a queue take up to ``limit``; ``wake`` is called when it wants some and there may be some."""
        self._seats[queue] = _Seat(limit, wake)

    def want(self, queue: str, wants: bool) -> None:
        """Whether the queue has a reason to look for jobs."""
        self._seats[queue].wants = wants

    def has_room(self, queue: str) -> bool:
        """Whether it could take one, if no other queue wanted it."""
        return self._seats[queue].room > 0 and (self._cap is None or self._used() < self._cap)

    def share(self, queue: str) -> int:
        """How many it could take now."""
        seat = self._seats[queue]
        if self._cap is None:
            return seat.room
        free = self._cap - self._used()
        if free <= 0:
            return 0
        rivals = [s for name, s in self._seats.items() if (s.wants or name == queue) and s.room]
        return _share(seat, free, rivals) if seat.room else 0

    def take(self, queue: str) -> int:
        """Take all that it may have now; how many these are."""
        count = self.share(queue)
        if count:
            # To the end of the row.
            seat = self._seats[queue] = self._seats.pop(queue)
            seat.used += count
        return count

    def take_also(self, queue: str, count: int) -> None:
        """Book jobs that run already, whether there is room for them or not."""
        self._seats[queue].used += count

    def give_back(self, queue: str, count: int = 1) -> None:
        """So many of the queue's slots are free again."""
        if not count:
            return
        self._seats[queue].used -= count
        for seat in tuple(self._seats.values()):
            if seat.wants:
                seat.wake()

    def _used(self) -> int:
        return sum(seat.used for seat in self._seats.values())


def _share(mine: _Seat, free: int, rivals: Sequence[_Seat]) -> int:
    """What falls to ``mine`` when free slots go, one by one, to the rival that uses least, at a tie to the first."""
    if sum(seat.room for seat in rivals) <= free:
        return mine.room

    def up_to(level: int, seat: _Seat) -> int:
        return min(max(level - seat.used, 0), seat.limit - seat.used)

    # The highest level to which all can be brought.
    lowest, highest = 0, max(seat.limit for seat in rivals)
    while lowest < highest:
        middle = (lowest + highest + 1) // 2
        if sum(up_to(middle, seat) for seat in rivals) <= free:
            lowest = middle
        else:
            highest = middle - 1
    left = free - sum(up_to(lowest, seat) for seat in rivals)
    next_ones = [seat for seat in rivals if up_to(lowest + 1, seat) > up_to(lowest, seat)]
    return up_to(lowest, mine) + (mine in next_ones[:left])


class Suspects:
    """At most one job that may be what took its last workers down runs in a worker, so that it takes no other such
    job, and no innocent one for long, down with it. ``Transport.exchange`` is asked for such jobs accordingly."""

    def __init__(self) -> None:
        self._running = 0
        self._is_asked_for = False

    def ask(self) -> bool:
        """Whether the store may be asked for one; then nobody else may until ``answered``."""
        if self._running or self._is_asked_for:
            return False
        self._is_asked_for = True
        return True

    def answered(self) -> None:
        """Whoever was allowed to ask has its answer, and has begun what it got."""
        self._is_asked_for = False

    def begin(self) -> None:
        """One runs."""
        self._running += 1

    def end(self) -> None:
        """It has ended."""
        self._running -= 1
