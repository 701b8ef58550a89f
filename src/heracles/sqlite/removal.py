"""Taking entries and records out of the store."""

from collections import Counter
from collections.abc import Sequence
from heapq import merge
from itertools import islice

from heracles.sqlite.turn import Turn

#: Rows that one transaction removes for one reason; the caller goes on with the next lot.
REMOVED_AT_ONCE = 250


def trim(turn: Turn, priority: int, excess: int, until_ms: int | None = None) -> int:
    """Remove up to so many of the oldest finished entries of a priority, if given only those finished until then."""
    ids = [id for _, id in _oldest(turn, priority, excess, turn.now_ms if until_ms is None else until_ms)]
    if ids:
        _drop_entries(turn, ids)
        turn.finished[priority] -= len(ids)
    return len(ids)


def _oldest(turn: Turn, priority: int, most: int, until_ms: int) -> list[tuple[int, int]]:
    """When they finished, and their ids, oldest first."""
    limit = min(most, REMOVED_AT_ONCE)
    return [(ms, id) for ms, id in turn.rows("oldest_entries", priority=priority, until=until_ms, limit=limit)]


def _drop_entries(turn: Turn, ids: Sequence[int]) -> None:
    turn.write_all("keep_arguments", ids)
    turn.write_all("drop_entries", ids)


def trim_queue(turn: Turn, largest: int) -> int:
    """Remove the oldest finished entries of all priorities together beyond so many, one lot at most; how many."""
    settle_finished(turn)
    streams = turn.rows("finished_entries")
    excess = sum(finished for _, finished in streams) - largest
    if excess <= 0:
        return 0
    of_each = [[(*each, priority) for each in _oldest(turn, priority, excess, turn.now_ms)] for priority, _ in streams]
    oldest = list(islice(merge(*of_each), min(excess, REMOVED_AT_ONCE)))
    _drop_entries(turn, [id for _, id, _ in oldest])
    turn.finished.subtract(Counter(priority for *_, priority in oldest))
    settle_finished(turn)
    return len(oldest)


def trim_streams(turn: Turn, largest: int) -> int:
    """Remove the oldest finished entries of each priority beyond so many, at most one lot a priority; how many."""
    settle_finished(turn)
    removed = 0
    for priority, finished in turn.rows("finished_entries"):
        if finished > largest:
            removed += trim(turn, priority, finished - largest)
    settle_finished(turn)
    return removed


def trim_finished(turn: Turn) -> None:
    """After jobs have ended: keep each priority's finished entries within ``max_stream_size``."""
    finished, turn.finished = turn.finished, Counter()
    for priority, count in finished.items():
        row = turn.row("add_finished_entries", priority=priority, count=count)
        assert row is not None
        excess = row[0] - turn.settings.max_stream_size
        if turn.settings.cleanup_completed_jobs and excess > 0:
            trim(turn, priority, excess)
    settle_finished(turn)


def settle_finished(turn: Turn) -> None:
    """Write how many finished entries each priority has gained or lost."""
    finished, turn.finished = turn.finished, Counter()
    for priority, count in finished.items():
        if count:
            turn.write("add_finished_entries", priority=priority, count=count).fetchall()


def drop_jobs(turn: Turn, ids: Sequence[int], *, keep_entries: bool = False) -> int:
    """Remove records, with their entries unless those are to be kept; how many finished entries went."""
    entries = 0
    if not keep_entries:
        for priority, count in turn.rows_of("entries_by_stream", ids):
            turn.finished[priority] -= count
            entries += count
        turn.write_all("drop_entries", ids)
    turn.write_all("drop_arguments", ids)
    turn.write_all("drop_jobs", ids)
    return entries
