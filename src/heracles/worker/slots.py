"""Who may start how many jobs: the concurrency of each queue and that of the whole worker, shared fairly."""

import heapq
from collections.abc import Callable, Sequence


class _Seat:
    """One queue's part. ``wants``: it has a reason to look for jobs, and would if it had a slot."""

    __slots__ = ("limit", "turn", "used", "wake", "wants")

    def __init__(self, limit: int, wake: Callable[[], None], turn: int) -> None:
        self.limit = limit
        self.wake = wake
        self.used = 0
        self.wants = False
        #: Rises with every take: at a tie whoever took last comes last.
        self.turn = turn

    @property
    def room(self) -> int:
        return self.limit - self.used if self.limit > self.used else 0


class Slots:
    """Slots are taken before the store is asked for jobs, and given back when it had fewer, or when a job has ended.

    Under a cap, what is free goes to the queue that uses least among those that want some; at a tie whoever took last
    comes last. What one call costs grows with the queues that want slots and get none, not with all that are served.
    """

    def __init__(self, cap: int | None) -> None:
        self._cap = cap
        self._is_closed = False
        self._used = 0
        self._turns = 0
        self._seats: dict[str, _Seat] = {}
        self._wanting: dict[str, _Seat] = {}

    def add(self, queue: str, limit: int, wake: Callable[[], None]) -> None:
        """Let a queue take up to ``limit``; ``wake`` is called when it wants some and there may be some."""
        self._turns += 1
        self._seats[queue] = _Seat(limit, wake, self._turns)

    def close(self, queue: str) -> None:
        """The queue takes no more; what it has it still gives back."""
        self._seats[queue].limit = 0
        self.want(queue, False)

    def close_all(self) -> None:
        """No queue takes any from here on. From any thread: the event loop may be blocked, and start another job before
        it hears of anything."""
        self._is_closed = True

    def want(self, queue: str, wants: bool) -> None:
        """Whether the queue has a reason to look for jobs."""
        seat = self._seats[queue]
        if seat.wants == wants:
            return
        seat.wants = wants
        if wants:
            self._wanting[queue] = seat
        else:
            del self._wanting[queue]
            # What was kept for it is another one's now.
            self._wake(self._free())

    def has_room(self, queue: str) -> bool:
        """Whether it could take one, if no other queue wanted it."""
        return self._seats[queue].room > 0 and self._free() > 0 and not self._is_closed

    @property
    def is_exhausted(self) -> bool:
        """Whether no queue could take one, by the cap of all together."""
        return self._cap is not None and self._used >= self._cap

    @property
    def serve_one_queue(self) -> bool:
        """Whether no other queue could want what one has taken."""
        return len(self._seats) == 1

    def share(self, queue: str) -> int:
        """How many it could take now."""
        seat = self._seats[queue]
        if self._is_closed:
            return 0
        if self._cap is None:
            return seat.room
        free = self._free()
        if not seat.room or not free:
            return 0
        rivals = [other for other in self._wanting.values() if other is not seat and other.used < other.limit]
        if len(rivals) >= free:
            return int(_is_among_first(seat, rivals, free))
        return _share(seat, free, sorted((seat, *rivals), key=_place)) if rivals else min(seat.room, free)

    def take(self, queue: str, most: int | None = None) -> int:
        """Take all that it may have now, up to ``most``; how many these are."""
        count = self.share(queue)
        if most is not None:
            count = min(count, most)
        if count:
            seat = self._seats[queue]
            self._turns += 1
            seat.turn = self._turns
            self._book(seat, count)
        return count

    def take_also(self, queue: str, count: int) -> None:
        """Book jobs that run already, whether there is room for them or not."""
        self._book(self._seats[queue], count)

    def give_back(self, queue: str, count: int = 1) -> None:
        """So many of the queue's slots are free again."""
        if not count:
            return
        seat = self._seats[queue]
        self._book(seat, -count)
        # For each job that ends: no row is made where nobody else stands in it.
        if seat.wants and (self._cap is None or len(self._wanting) == 1):
            seat.wake()
        elif self._cap is not None and self._wanting:
            self._wake(self._free())

    def _free(self) -> int:
        return _MANY if self._cap is None else max(0, self._cap - self._used)

    def _book(self, seat: _Seat, count: int) -> None:
        seat.used += count
        self._used += count

    def _wake(self, count: int) -> None:
        """Wake so many of those that want slots, the first in the row."""
        wanting = [seat for seat in self._wanting.values() if seat.used < seat.limit]
        for seat in wanting if len(wanting) <= count else heapq.nsmallest(count, wanting, key=_place):
            seat.wake()


#: More slots than any queue may have: what is free where there is no cap.
_MANY = 1 << 62


def _place(seat: _Seat) -> tuple[int, int]:
    """In the row of those that want slots."""
    return seat.used, seat.turn


def _is_among_first(mine: _Seat, rivals: Sequence[_Seat], count: int) -> bool:
    """Whether fewer than ``count`` of them come before. There may be a thousand: neither tuples nor properties."""
    used, turn = mine.used, mine.turn
    for other in rivals:
        if other.used < used or (other.used == used and other.turn < turn):
            count -= 1
            if not count:
                return False
    return True


def _share(mine: _Seat, free: int, row: Sequence[_Seat]) -> int:
    """What falls to ``mine`` when free slots go, one by one, to the one that uses least, at a tie to the first."""
    if sum(seat.room for seat in row) <= free:
        return mine.room

    def up_to(level: int, seat: _Seat) -> int:
        return min(max(level - seat.used, 0), seat.limit - seat.used)

    # The highest level to which all can be brought.
    lowest, highest = 0, max(seat.limit for seat in row)
    while lowest < highest:
        middle = (lowest + highest + 1) // 2
        if sum(up_to(middle, seat) for seat in row) <= free:
            lowest = middle
        else:
            highest = middle - 1
    left = free - sum(up_to(lowest, seat) for seat in row)
    next_ones = sorted((seat for seat in row if up_to(lowest + 1, seat) > up_to(lowest, seat)), key=lambda s: s.turn)
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
