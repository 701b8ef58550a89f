"""Upkeep and cleanup, one bounded lot a call: the caller goes on until a lot is empty."""

from collections.abc import Sequence

from heracles.model import FINAL, CleanupRules, JobStatus, Swept
from heracles.sqlite.endings import EndingRow, drop_records, expired, held, of_status
from heracles.sqlite.removal import REMOVED_AT_ONCE, settle_finished, trim, trim_queue, trim_streams
from heracles.sqlite.turn import Turn

_FINAL = tuple(sorted(FINAL))


def expire(turn: Turn) -> Swept:
    """Remove records over their TTL, and what else has run out."""
    turn.write("drop_cooldowns")
    swept = _drop(turn, expired(turn, REMOVED_AT_ONCE), CleanupRules())
    settle_finished(turn)
    return swept


def trim_aged(turn: Turn, retention_s: int) -> Swept:
    """Remove the entries of jobs that finished that long ago."""
    until_ms = turn.now_ms - retention_s * 1000
    removed = 0
    for priority, _ in turn.rows("finished_entries"):
        if removed < REMOVED_AT_ONCE:
            removed += trim(turn, priority, REMOVED_AT_ONCE - removed, until_ms)
    settle_finished(turn)
    return Swept(entries=removed)


def trim_long_streams(turn: Turn, largest: int) -> Swept:
    """Remove the finished entries of each priority beyond so many."""
    return Swept(entries=trim_streams(turn, largest))


def trim_excess(turn: Turn, largest: int) -> Swept:
    """Remove the finished entries of the queue beyond so many."""
    return Swept(entries=trim_queue(turn, largest))


def drop_finished(turn: Turn, status: JobStatus, after: int, rules: CleanupRules) -> tuple[Swept, int | None]:
    """Remove one lot of the records of that status that finished long ago; what went, and after which id to go on."""
    until_ms = turn.now_ms - rules.retention_s * 1000
    rows = of_status(turn, status, after, REMOVED_AT_ONCE)
    swept = _drop(turn, [row for row in rows if rules.everything or row.ended_ms <= until_ms], rules)
    settle_finished(turn)
    return swept, rows[-1].id if rows else None


def _drop(turn: Turn, rows: Sequence[EndingRow], rules: CleanupRules) -> Swept:
    kept = frozenset[int]() if rules.everything else held(turn, rows)
    records = entries = 0
    for row in rows:
        gone = row.size - sum(id in kept for id in row.ids) if kept else row.size
        if gone:
            records += gone
            entries += drop_records(turn, row, kept, keep_entries=rules.status_only and not rules.everything)
    return Swept(records=records, entries=entries)


def forget(turn: Turn) -> None:
    """After everything went: totals restart at 0, and readers of changes learn that they missed something."""
    turn.reset_totals()
    turn.write("drop_queue_cooldowns")
    turn.gap()


def preview(turn: Turn, rules: CleanupRules) -> Swept:
    """What ``cleanup`` would remove."""
    if rules.everything:
        return _preview_everything(turn)
    until_ms = turn.now_ms - rules.retention_s * 1000
    records = sum(_count(turn, "count_finished", status=status.value, until=until_ms) for status in _FINAL)
    if rules.status_only:
        return Swept(records=records)
    streams = turn.rows("finished_entries")
    finished = sum(count for _, count in streams)
    aged = sum(_count(turn, "count_entries", priority=priority, until=until_ms) for priority, _ in streams)
    return Swept(records=records, entries=max(aged, finished - rules.max_entries))


def _preview_everything(turn: Turn) -> Swept:
    records, unfinished = _count(turn, "count_records"), turn.unfinished
    finished_entries = sum(finished for _, finished in turn.rows("finished_entries"))
    return Swept(records=records, entries=finished_entries + unfinished, cancelled=unfinished)


def _count(turn: Turn, query: str, **parameters: int | str) -> int:
    row = turn.row(query, **parameters)
    return 0 if row is None else int(row[0])
