"""``heracles list``: the jobs that the app registers."""

from collections.abc import Mapping
from typing import Any

from heracles.cli.app import import_app
from heracles.cli.settings import read_settings
from heracles.cli.table import table
from heracles.job import all_jobs


def run(given: Mapping[str, Any]) -> int:
    """Print them by name, with queue and the first line of the docstring."""
    import_app(read_settings(given))
    jobs = sorted(all_jobs().values(), key=lambda definition: definition.name)
    print(table(("JOB", "QUEUE", "DESCRIPTION"), [(job.name, job.queue, job.summary) for job in jobs]))
    return 0
