"""Processes of the harness: they never outlive it, end with their children, and are watched from outside."""

import contextlib
import ctypes
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # no stubs are installed

ROOT = Path(__file__).resolve().parent.parent
_END_S = 5.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class FailedError(RuntimeError):
    """A process did not do what it was started for; the message has the end of what it wrote."""


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start(words: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own, which on Linux does not outlive this one."""
    with log.open("ab") as output:
        return subprocess.Popen(
            words,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            # What runs between fork and exec is one system call, which is safe with threads too.
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - see above
        )


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """A process and all its descendants that live."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    return []


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the process and its descendants at once, as when a machine loses power."""
    for member in family(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL for what is left after a while; safe twice."""
    members = family(process)
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


@dataclass(frozen=True)
class Usage:
    """What a process and its descendants have used."""

    cpu_s: float
    resident_bytes: int


def usage(process: subprocess.Popen[bytes]) -> Usage:
    """Up to now."""
    cpu_s, resident = 0.0, 0
    for member in family(process):
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            cpu_s += _cpu_s(member)
            resident += member.memory_info().rss
    return Usage(cpu_s, resident)


def _cpu_s(member: psutil.Process) -> float:
    """By the scheduler's clock where there is one: the other one counts in hundredths of a second."""
    threads = list(Path(f"/proc/{member.pid}/task").glob("*/schedstat"))
    if threads:
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9
    times = member.cpu_times()
    return float(times.user + times.system)


def answer(words: Sequence[str], *, environment: Mapping[str, str] | None, timeout_s: float) -> dict[str, Any]:
    """The JSON object that a process prints as its last line.

    Raises:
        FailedError: it failed, or took too long.
    """
    try:
        done = subprocess.run(
            words, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise FailedError(f"not done within {timeout_s:.0f} s: {' '.join(words[1:5])}") from error
    if done.returncode:
        raise FailedError(f"{' '.join(words[1:5])}: {tail(done.stderr)}")
    result = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(result, dict)
    return result


def tail(text: str) -> str:
    """The last lines, in one."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-3:])


def cpu_of(words: Sequence[str]) -> float:
    """Processor milliseconds that a command takes from start to end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def wait_until(holds: Any, *, timeout_s: float, what: str, interval_s: float = 0.005) -> None:
    """Return as soon as ``holds()`` is true.

    Raises:
        FailedError: it was not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise FailedError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(interval_s)
