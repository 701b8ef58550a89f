"""The demo's worker pool: ``heracles work --processes=2``, as anybody would start it."""

import asyncio
import sys
from pathlib import Path
from types import TracebackType

from heracles.demo.jobs import QUEUE

PROCESSES = 2
#: A pool with nothing left to do ends at once; one that does not is not waited for.
_STOP_S = 10
_LOG_LINES = 15


class DemoPool:
    """An async context manager: two worker processes on the store, ended when it is left."""

    def __init__(self, directory: Path, url: str) -> None:
        self._log = directory / "workers.log"
        self._directory = directory
        self._url = url
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "DemoPool":
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "heracles", "work", "--id=demo", f"--queues={QUEUE}", f"--processes={PROCESSES}"),
                *(f"--url={self._url}", "--app=heracles.demo.jobs"),
                cwd=self._directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def has_ended(self) -> bool:
        """Whether the pool has ended, which it should not do by itself."""
        return self._process is not None and self._process.returncode is not None

    @property
    def last_lines(self) -> str:
        """The end of what its workers logged."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
