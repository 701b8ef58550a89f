"""Generated ids: ``job_X`` and ``dispatch_X`` name each other, so that no index has to."""

from heracles.units import DISPATCH_PREFIX, JOB_PREFIX


def is_named(job_id: str, dispatch_id: str) -> int:
    """1 where the ids are no such pair, so that an index leads from the job id to the dispatch."""
    return 0 if dispatch_id == paired_dispatch(job_id) else 1


def paired_dispatch(job_id: str) -> str:
    """The dispatch id that a generated job id names; "" where it is none."""
    return DISPATCH_PREFIX + job_id[len(JOB_PREFIX) :] if job_id.startswith(JOB_PREFIX) else ""
