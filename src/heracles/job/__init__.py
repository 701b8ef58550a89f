"""``Job``, its registration, and what a running job knows of itself."""

from heracles.job.job import (
    SUCCESS,
    Job,
    JobDefinition,
    JobOptions,
    all_jobs,
    arguments_of,
    definition_of,
    find_job,
    is_async,
    names_near,
    refuse_generator,
    remember,
    summary_of,
)
from heracles.job.run import RUN, JobRun, current_run

__all__ = [
    "RUN",
    "SUCCESS",
    "Job",
    "JobDefinition",
    "JobOptions",
    "JobRun",
    "all_jobs",
    "arguments_of",
    "current_run",
    "definition_of",
    "find_job",
    "is_async",
    "names_near",
    "refuse_generator",
    "remember",
    "summary_of",
]
