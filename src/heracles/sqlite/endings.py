"""Jobs that have ended, by rows of those that did so alike: taken in order, and shortened as their jobs are removed."""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import msgspec

from heracles.model import JobStatus
from heracles.sqlite.turn import Turn

_decode = msgspec.json.Decoder(list[int]).decode


def ids_in(jobs: str) -> list[int]:
    """The ids of the jobs of a row; none where somebody has written something else."""
    try:
        return _decode(jobs)
    except msgspec.DecodeError:
        return []


class EndingRow(NamedTuple):
    """One row of ``endings``."""

    id: int
    priority: int
    status: str
    ended_ms: int
    expires_ms: int | None
    jobs: str
    size: int
    trimmed: int

    @property
    def ids(self) -> list[int]:
        """Its jobs, in the order of ending; none where somebody has written something else."""
        return ids_in(self.jobs)

    @property
    def keeps_entries(self) -> bool:
        """Whether its jobs' entries stay as long as their records."""
        return self.status != JobStatus.COMPLETED and self.expires_ms is not None


def lot(rows: Iterable[EndingRow], jobs: int) -> Iterator[EndingRow]:
    """The first rows, up to one that brings them to so many jobs."""
    for row in rows:
        yield row
        jobs -= row.size
        if jobs <= 0:
            return


# ---------------------------------------------------------------------------------------------------------- trimming


def oldest_in_stream(turn: Turn, priority: int, until_ms: int) -> Iterator[EndingRow]:
    """The rows of a priority that have jobs in the stream, the oldest first; to be read before anything is written."""
    return map(EndingRow._make, turn.write("endings_in_stream", priority=priority, until=until_ms))


def trim_oldest(turn: Turn, rows: Iterable[EndingRow], most: int) -> int:
    """Take up to so many jobs of these rows, from the first on, out of their streams; how many."""
    whole: list[EndingRow] = []
    part: tuple[EndingRow, int] | None = None
    left = most
    for row in rows:
        if left >= row.size - row.trimmed:
            whole.append(row)
            left -= row.size - row.trimmed
        else:
            part = (row, left)
            left = 0
        if left <= 0:
            break
    entries = [id for row in whole if not row.keeps_entries for id in row.ids[row.trimmed :]]
    _trim_whole(turn, whole)
    if part is not None and part[1]:
        entries += _trim_part(turn, *part)
    if entries:
        turn.write_all("drop_entries", entries)
    return most - left


def _trim_whole(turn: Turn, rows: Collection[EndingRow]) -> None:
    for row in rows:
        turn.finished[row.priority] -= row.size - row.trimmed
    kept = [row.id for row in rows if row.expires_ms is not None]
    if kept:
        turn.write_all("endings_trimmed", kept)
    if len(kept) < len(rows):
        turn.write_all("drop_endings", [row.id for row in rows if row.expires_ms is None])


def _trim_part(turn: Turn, row: EndingRow, count: int) -> list[int]:
    """Trim so many jobs of a row; whose entries have to go."""
    turn.finished[row.priority] -= count
    _save(turn, row._replace(trimmed=row.trimmed + count))
    return [] if row.keeps_entries else row.ids[row.trimmed : row.trimmed + count]


# ---------------------------------------------------------------------------------------------------------- removing


def drop_records(turn: Turn, row: EndingRow, kept: Collection[int] = (), *, keep_entries: bool = False) -> int:
    """Remove the records of a row's jobs but those that are to be kept, with their entries unless those in a stream are
    to stay; how many entries left a stream."""
    ids = row.ids
    gone = [id for id in ids if id not in kept] if kept else ids
    in_stream = [id for id in ids[row.trimmed :] if id not in kept]
    if kept:
        _keep(turn, row, kept)
    if keep_entries and in_stream:
        _save(turn, row._replace(expires_ms=None, jobs=_json(in_stream), size=len(in_stream), trimmed=0))
    else:
        turn.write_all("drop_endings", [row.id])
    turn.write_all("drop_jobs", gone)
    turn.write_all("drop_entries", [id for id in gone if id not in set(in_stream)] if keep_entries else gone)
    if keep_entries:
        return 0
    turn.finished[row.priority] -= len(in_stream)
    return len(in_stream)


def _keep(turn: Turn, row: EndingRow, kept: Collection[int]) -> None:
    """Put a row's jobs that are to be kept into a row of their own."""
    ids = [id for id in row.ids if id in kept]
    trimmed = sum(id in kept for id in row.ids[: row.trimmed])
    turn.write(
        "add_ending",
        priority=row.priority,
        status=row.status,
        ended_ms=row.ended_ms,
        expires_ms=row.expires_ms,
        ids=_json(ids),
        size=len(ids),
        trimmed=trimmed,
    )


def held(turn: Turn, rows: Collection[EndingRow]) -> frozenset[int]:
    """The jobs of these rows whose code still runs: their records stay, as their workers and lines go by them."""
    ids = [id for row in rows for id in row.ids]
    return frozenset(id for (id,) in turn.rows_of("held_jobs", ids))


def expired(turn: Turn, jobs: int) -> list[EndingRow]:
    """Rows whose records have expired, up to about so many jobs."""
    return list(lot(map(EndingRow._make, turn.write("expired_endings")), jobs))


def of_status(turn: Turn, status: JobStatus, after: int, jobs: int) -> list[EndingRow]:
    """Rows of a status that have records, with ids over ``after``, up to about so many jobs."""
    rows = turn.write("endings_with_records", status=status.value, after=after)
    return list(lot(map(EndingRow._make, rows), jobs))


def row_of(turn: Turn, id: int, expires_ms: int) -> EndingRow | None:
    """The row of a job whose record expires then."""
    rows = map(EndingRow._make, turn.rows("endings_expiring_at", expires_ms=expires_ms))
    return next((row for row in rows if id in row.ids), None)


def _save(turn: Turn, row: EndingRow) -> None:
    turn.write("save_ending", id=row.id, expires_ms=row.expires_ms, ids=row.jobs, size=row.size, trimmed=row.trimmed)


def _json(ids: Iterable[int]) -> str:
    return msgspec.json.encode(list(ids)).decode()
