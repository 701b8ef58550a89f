"""The command line as a process: run to its end, or started and watched."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import eventually_sync

COMMAND = (sys.executable, "-m", "heracles")
#: No command that ends by itself takes longer, also on a machine that is busy.
LONGEST_S = 60


@dataclass(frozen=True)
class Ended:
    """What a process has left."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on standard error, asserted to be all there is."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert self.out == ""
        return lines[0]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without anything that names a store or an app."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HERACLES_", "REDIS_"))}
    return {**kept, **more}


def run(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None, answer: str = "") -> Ended:
    """Run ``heracles`` to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(**(env or {})),
        input=answer,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class Running:
    """A ``heracles`` that goes on until it is told to stop."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """What it has written so far, on both outputs."""
        return self._log.read_text()

    def await_line(self, text: str, times: int = 1) -> str:
        """The last of that many lines with the text."""

        def lines() -> list[str]:
            found = [line for line in self.log.splitlines() if text in line]
            assert len(found) >= times or self.process.poll() is None, self.log
            return found if len(found) >= times else []

        return eventually_sync(lines)[-1]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(LONGEST_S)


@contextmanager
def running(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, command: Sequence[str] = COMMAND
) -> Iterator[Running]:
    """``heracles``, or another command, in the background; killed at the end where it still runs."""
    log = cwd / f"output-{len(list(cwd.glob('output-*')))}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=cwd,
            env=environment(PYTHONUNBUFFERED="1", **(env or {})),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Running(process, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(LONGEST_S)
