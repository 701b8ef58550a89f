"""Status changes as they stand in the store: all those of one transaction in one value, as short as can be."""

from collections.abc import Sequence

import msgspec

from heracles.model import Change, JobStatus
from heracles.sqlite.pairs import paired_job

#: A job in a change: its dispatch id, with the job id after it where the one does not name the other.
_Names = str | tuple[str, str]


class _Run(msgspec.Struct, array_like=True):
    """Jobs that changed to one status one after the other. No status: changes that cannot be told, a gap."""

    status: str
    error: str | None
    jobs: list[_Names]


class _Told(msgspec.Struct, array_like=True):
    """The changes of one transaction, all of one moment."""

    at_ms: int
    runs: list[_Run]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Told).decode


class Telling:
    """Collects the changes of one transaction."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self.count = 0
        """How many changes it has."""

    def add(self, status: str, jobs: Sequence[tuple[str, str]], error: str | None = None) -> None:
        """The jobs of these job ids and dispatch ids have that status now."""
        names: list[_Names] = [
            dispatch_id if job_id == paired_job(dispatch_id) else (dispatch_id, job_id) for job_id, dispatch_id in jobs
        ]
        self.count += len(names)
        if self._runs and (self._runs[-1].status, self._runs[-1].error) == (status, error):
            self._runs[-1].jobs += names
        else:
            self._runs.append(_Run(status, error, names))

    def body(self, at_ms: int) -> bytes:
        """All of them, as ``told_in`` reads them."""
        return _encode(_Told(at_ms, self._runs))


def told_in(body: bytes, now_ms: int) -> Sequence[Change]:
    """The changes in that value, in their order; a gap where somebody has written something else."""
    try:
        told = _decode(body)
        return [_change(told.at_ms, run, names) for run in told.runs for names in run.jobs]
    except (msgspec.DecodeError, TypeError, ValueError):
        return [gap_at(now_ms)]


def gap_at(at_ms: int) -> Change:
    """Stands for changes that cannot be told."""
    return Change(job_id="", dispatch_id="", status=None, at_ms=at_ms)


def _change(at_ms: int, run: _Run, names: _Names) -> Change:
    dispatch_id, job_id = (names, paired_job(names)) if isinstance(names, str) else names
    status = JobStatus(run.status) if run.status else None
    return Change(job_id=job_id, dispatch_id=dispatch_id, status=status, at_ms=at_ms, error=run.error)
