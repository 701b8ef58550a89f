"""The line of the NO_OVERLAP dispatches of one job id: the first runs, waits or is ready, the rest are blocked."""

from typing import NamedTuple

from heracles.sqlite.rows import JobRow, State
from heracles.sqlite.turn import Turn


class Standing(NamedTuple):
    """Where a job stands that has become ready."""

    state: int
    place: int | None
    due_ms: int | None
    line: int | None


def save(turn: Turn, job: JobRow) -> None:
    """Write the job's state as it stands in the row."""
    turn.write("save_job", **job._asdict())


def standing(turn: Turn, job_id: str, no_overlap: bool, place: int) -> Standing:
    """Where a job stands that becomes ready at that place, and is in no line yet."""
    if not no_overlap:
        return Standing(int(State.READY), place, None, None)
    # Always behind all others, whatever its place among the ready ones: only the first may be anything but blocked.
    line = turn.next_place()
    if turn.row("first_in_line", job_id=job_id) is not None:
        return Standing(int(State.BLOCKED), None, None, line)
    return _first(turn, job_id, place, line)


def ready(turn: Turn, job: JobRow, place: int | None = None) -> None:
    """Make a job ready, as of now or at the place given; one that is not the first in its line has to wait there."""
    at = turn.next_place() if place is None else place
    stands = (
        Standing(int(State.READY), at, None, job.line)
        if job.line is not None
        else standing(turn, job.job_id, bool(job.no_overlap), at)
    )
    save(turn, job._replace(lease_ms=None, **stands._asdict()))
    announce(turn, stands)


def delay(turn: Turn, job: JobRow, due_ms: int) -> None:
    """Let a job wait until then; it keeps its place in its line if it has one."""
    stands = Standing(int(State.DELAYED), None, due_ms, job.line)
    save(turn, job._replace(lease_ms=None, **stands._asdict()))
    announce(turn, stands)


def leave(turn: Turn, job: JobRow, overlap_delay_ms: int) -> None:
    """A job that was in a line has been saved without it: let the job id cool down, and the next one go on."""
    if job.line is None:
        return
    if overlap_delay_ms > 0:
        turn.write("cool_down", job_id=job.job_id, until_ms=turn.now_ms + overlap_delay_ms)
    found = turn.row("first_in_line", job_id=job.job_id)
    if found is None or JobRow(*found).state != State.BLOCKED:
        return
    first = JobRow(*found)
    stands = _first(turn, first.job_id, turn.next_place(), first.line)
    save(turn, first._replace(**stands._asdict()))
    announce(turn, stands)


def announce(turn: Turn, stands: Standing) -> None:
    """Let those who wait for work know."""
    if stands.state == State.READY:
        turn.became_ready()
    elif stands.due_ms is not None:
        turn.waits_until(stands.due_ms)


def _first(turn: Turn, job_id: str, place: int, line: int | None) -> Standing:
    """The first in its line: ready, or waiting until its job id has cooled down."""
    cooldown = turn.row("cooldown", job_id=job_id)
    if cooldown is None:
        return Standing(int(State.READY), place, None, line)
    return Standing(int(State.DELAYED), None, cooldown[0], line)
