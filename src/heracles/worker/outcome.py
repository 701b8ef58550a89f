"""How the code of a job ended, and what that means for the job."""

from typing import assert_never

from heracles.model import Value
from heracles.worker.held import Stop


class Completed(Value, frozen=True, kw_only=True, gc=False):
    """The job is done. ``result`` is encoded."""

    result: bytes


class Failed(Value, frozen=True, kw_only=True):
    """The run failed. ``for_good``: a further run would end no better. ``still_running``: its code has yet to end (it
    was timed out)."""

    error: str
    traceback: str | None = None
    for_good: bool = False
    still_running: bool = False


#: How the code ended: it returned, or it raised, or could not be called.
Ending = Completed | Failed


class GivenBack(Value, frozen=True, kw_only=True):
    """The worker ended the run for reasons of its own. ``begun`` False: before any of its code ran."""

    begun: bool = True


class Released(Value, frozen=True, kw_only=True):
    """The code of a job whose fate was settled before has ended."""


class Unknown(Value, frozen=True, kw_only=True):
    """No job of that name is registered in this worker."""


Outcome = Completed | Failed | GivenBack | Released | Unknown


def timed_out(timeout_ms: int | None, traceback: str | None, *, still_running: bool) -> Failed:
    """The run took too long: as if it had raised."""
    return Failed(
        error=f"TimeoutError: it ran longer than its timeout of {timeout_ms} ms",
        traceback=traceback,
        still_running=still_running,
    )


def conclude(ending: Ending, stop: Stop | None, timeout_ms: int | None) -> Outcome:
    """What an ending means, given why the code had been asked to end, if it had been."""
    match stop:
        case Stop.CANCELLED:
            return Released()
        case Stop.TIMED_OUT:
            trace = ending.traceback if isinstance(ending, Failed) else None
            return timed_out(timeout_ms, trace, still_running=False)
        case Stop.RETURNED | Stop.LOST:
            # Whatever it raised or returned may be a consequence of having been stopped: the first costs no retry, the
            # second may be half of the work.
            return GivenBack()
        case None:
            return ending
        case _:
            assert_never(stop)
