"""``heracles demo``."""

import signal
import sys
from collections.abc import Mapping
from typing import Any

from heracles.cli.signals import ending_at_once
from heracles.cli.usage import StartError
from heracles.demo.run import DemoFailedError, run_demo

#: What a shell reports for a process that SIGTERM ended.
_TERMINATED = 143


def run(given: Mapping[str, Any]) -> int:
    """Show the demo; 0 if every job COMPLETED."""
    try:
        # As SIGINT does by itself: an exception on the way out ends the workers and removes the files.
        with ending_at_once(_TERMINATED, (signal.SIGTERM,)):
            return 0 if run_demo() else 1
    except DemoFailedError as error:
        print(error.log, file=sys.stderr)
        raise StartError(f"heracles demo: {error}") from error
