"""Progress, shown live: a bar on a terminal, plain lines otherwise."""

import sys
import time
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from heracles.model import FINAL, JobStatus

#: Seconds between two plain lines.
_EVERY_S = 1.0


class View(Protocol):
    """Shows how far the jobs are."""

    def show(self, counts: Mapping[JobStatus, int]) -> None:
        """Show these counts now."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


def open_view(total: int) -> View:
    """The one that fits standard output."""
    return TerminalView(total) if sys.stdout.isatty() else PlainView(total)


class TerminalView:
    """A bar that fills, with the waiting and running jobs beside it."""

    def __init__(self, total: int) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[waiting]}"),
            TimeElapsedColumn(),
            console=Console(),
        )
        self._task = self._progress.add_task("jobs", total=total, waiting="")
        self._progress.start()

    def show(self, counts: Mapping[JobStatus, int]) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=finished(counts), waiting=waiting(counts))

    def close(self) -> None:
        """Leave the bar standing."""
        self._progress.stop()


class PlainView:
    """A line a second."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._next = 0.0

    def show(self, counts: Mapping[JobStatus, int]) -> None:
        """Print a line if it is time for one, or if it is the last."""
        done = finished(counts)
        if done < self._total and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_S
        print(f"{done:>5} of {self._total} jobs done  {waiting(counts)}".rstrip(), flush=True)

    def close(self) -> None:
        """Nothing to put right."""


def finished(counts: Mapping[JobStatus, int]) -> int:
    """How many have ended."""
    return sum(counts[status] for status in FINAL)


def waiting(counts: Mapping[JobStatus, int]) -> str:
    """What the others do, in words."""
    words = {
        JobStatus.RUNNING: "running",
        JobStatus.PENDING: "waiting",
        JobStatus.SCHEDULED_FOR_RETRY: "to be retried",
    }
    return ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status])
