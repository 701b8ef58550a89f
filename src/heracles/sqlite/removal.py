"""Taking entries and records out of the store."""

from collections import Counter
from collections.abc import Mapping
from heapq import merge

from heracles.sqlite.endings import drop_records, oldest_in_stream, row_of, trim_oldest
from heracles.sqlite.turn import Turn

#: Jobs that one transaction removes for one reason; the caller goes on with the next lot.
REMOVED_AT_ONCE = 250
#: So many finished entries more than wanted may stand in a stream for a while: trimming 100 costs little more than 10.
_BUSY_SLACK = 100


def trim(turn: Turn, priority: int, excess: int, until_ms: int | None = None) -> int:
    """Remove up to so many of the oldest finished entries of a priority, if given only those finished until then."""
    rows = oldest_in_stream(turn, priority, turn.now_ms if until_ms is None else until_ms)
    return trim_oldest(turn, rows, min(excess, REMOVED_AT_ONCE))


def trim_queue(turn: Turn, largest: int) -> int:
    """Remove the oldest finished entries of all priorities together beyond so many, one lot at most; how many."""
    settle_finished(turn)
    streams = turn.rows("finished_entries")
    excess = sum(finished for _, finished in streams) - largest
    if excess <= 0:
        return 0
    oldest = merge(*[oldest_in_stream(turn, priority, turn.now_ms) for priority, _ in streams])
    removed = trim_oldest(turn, oldest, min(excess, REMOVED_AT_ONCE))
    settle_finished(turn)
    return removed


def trim_streams(turn: Turn, largest: int) -> int:
    """Remove the oldest finished entries of each priority beyond so many, at most one lot a priority; how many."""
    settle_finished(turn)
    removed = 0
    for priority, finished in turn.rows("finished_entries"):
        if finished > largest:
            removed += trim(turn, priority, finished - largest)
    settle_finished(turn)
    return removed


def trim_finished(turn: Turn, *, is_busy: bool = False) -> None:
    """After jobs have ended: keep each priority's finished entries within ``max_stream_size``.

    While a worker is busy, several of its steps are trimmed together; what they leave goes when it has less to do.
    """
    slack = _BUSY_SLACK if is_busy else 0
    finished = settle_finished(turn)
    if turn.settings.cleanup_completed_jobs:
        for priority, count in finished.items():
            excess = count - turn.settings.max_stream_size
            if excess > slack:
                trim(turn, priority, excess)
        settle_finished(turn)


def settle_finished(turn: Turn) -> Mapping[int, int]:
    """Write which jobs have ended; how many finished entries each priority has that has gained or lost some."""
    turn.write_ended()
    finished, turn.finished = turn.finished, Counter()
    return {
        priority: turn.rows("add_finished_entries", priority=priority, count=count)[0][0]
        for priority, count in finished.items()
        if count
    }


def drop_expired(turn: Turn, id: int, expires_ms: int) -> None:
    """Remove one job's record, which expired then, and its entry."""
    row = row_of(turn, id, expires_ms)
    if row is not None:
        drop_records(turn, row, frozenset(row.ids) - {id})
        settle_finished(turn)
