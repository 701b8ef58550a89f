"""``heracles demo``."""

from collections.abc import Mapping
from typing import Any

from heracles.cli.usage import StartError
from heracles.demo.run import DemoFailedError, run_demo


def run(given: Mapping[str, Any]) -> int:
    """Show the demo; 0 if every job COMPLETED."""
    try:
        return 0 if run_demo() else 1
    except DemoFailedError as error:
        raise StartError(str(error)) from error
