"""The demo's jobs: each reads a source file of the standard library and counts what is in it."""

import ast
import time
import warnings
from pathlib import Path

from msgspec import Struct

from heracles.job import Job
from heracles.model import JobOverlapBehavior

QUEUE = "demo"
#: Long enough to be seen waiting for its retry, short enough to bore nobody.
RETRY_DELAY_MS = 700
#: How often ``CountUnreliably`` raises before it succeeds.
FAILURES = 2
#: Two of these would overlap for sure if they were allowed to.
AUDIT_S = 0.4


class Counted(Struct, frozen=True, kw_only=True):
    """What one source file holds."""

    classes: int
    functions: int
    lines: int
    is_valid: bool = True
    """Whether it is Python at all: the standard library's own tests bring some files along that are not."""


class Audited(Struct, frozen=True, kw_only=True):
    """When an audit ran, by the machine's clock, and how many files it saw."""

    files: int
    started: float
    ended: float


@Job.register(queue=QUEUE)
class CountSource(Job):
    """Parse one source file and count its classes and functions."""

    def __init__(self, path: str) -> None:
        self.path = path

    def execute(self) -> Counted:
        """Count; a file that is not valid Python counts as empty."""
        return count(Path(self.path))


@Job.register(queue=QUEUE, max_retries=FAILURES, retry_delay=RETRY_DELAY_MS)
class CountUnreliably(Job):
    """The same, but its first two runs fail."""

    def __init__(self, path: str) -> None:
        self.path = path

    def execute(self) -> Counted:
        """Raise on the first runs, count on the last."""
        if self.retries < FAILURES:
            raise OSError(f"the disk is not in the mood (run {self.retries + 1})")
        return count(Path(self.path))


@Job.register(queue=QUEUE, overlap_behavior=JobOverlapBehavior.NO_OVERLAP)
class Audit(Job):
    """Count the files of a folder; never two of them at once."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @classmethod
    def generate_job_id(cls, folder: str) -> str:
        """Equal folders mean the same job."""
        return "audit:" + "".join(char if char.isalnum() or char in "/._-" else "_" for char in folder)[-200:]

    def execute(self) -> Audited:
        """Count, and take a moment for it."""
        started = time.time()
        files = sum(1 for _ in Path(self.folder).glob("*.py"))
        time.sleep(AUDIT_S)
        return Audited(files=files, started=started, ended=time.time())


def count(path: Path) -> Counted:
    """What is in the file."""
    source = path.read_bytes()
    lines = source.count(b"\n")
    try:
        with warnings.catch_warnings():
            # Of old escapes and the like, which are the standard library's business.
            warnings.simplefilter("ignore")
            nodes = list(ast.walk(ast.parse(source, str(path))))
    except (SyntaxError, ValueError):
        return Counted(classes=0, functions=0, lines=lines, is_valid=False)
    return Counted(
        classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
        functions=sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes),
        lines=lines,
    )
