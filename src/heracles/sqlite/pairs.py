"""Generated ids: ``job_X`` and ``dispatch_X`` name each other, so that no index has to."""

from heracles.units import DISPATCH_PREFIX, JOB_PREFIX


def paired_job(dispatch_id: str) -> str:
    """The job id of the pair that a dispatch id belongs to, if it does to one."""
    return JOB_PREFIX + dispatch_id[len(DISPATCH_PREFIX) :]


def paired_dispatch(job_id: str) -> str:
    """The dispatch id that a generated job id names; "" where it is none."""
    return DISPATCH_PREFIX + job_id[len(JOB_PREFIX) :] if job_id.startswith(JOB_PREFIX) else ""
