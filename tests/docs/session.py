"""A reader at work: does what the blocks of a page say, in a directory of its own, and sees whether it is true."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.docs.blocks import REPOSITORY, Block
from tests.servers import start_process
from tests.waiting import eventually_sync

#: What the pages call the server; a private one stands in for it.
REDIS = "localhost:6379"
#: The demo takes a quarter of that on two idle cores.
COMMAND_DEADLINE_S = 100.0
#: Commands that run until they are stopped; not where the page shows how one refuses to start.
SERVING = re.compile(r"^heracles work\b(?!.*\|\|)")
#: ``make`` is shown for a clone of the repository: here it only says what it would do.
MAKE = re.compile(r"^make (?=\w)")


def pattern_of(expected: str) -> str:
    """A regular expression for output in which ``…`` stands for any text, alone on a line for any lines."""
    lines = []
    for line in expected.splitlines():
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*?")
        else:
            lines.append(".*?".join(re.escape(part.rstrip()) for part in line.split("…")) + r"[ ]*\n")
    return "".join(lines)


def environment_without_settings() -> dict[str, str]:
    """This environment with the interpreter's commands on the path, and without what would set Heracles up."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HERACLES", "REDIS", "PYTEST"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", "COLUMNS": "120", "PYTHONDONTWRITEBYTECODE": "1"}


class Process:
    """A command that goes on beside the page, with all it has printed so far."""

    def __init__(self, command: str, directory: Path, environment: dict[str, str]) -> None:
        self.command = command
        self.output = ""
        self._popen = start_process(
            ["bash", "-c", f"exec {command}"],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as lines:
            for line in lines:
                self.output += line.decode()

    def expect(self, expected: str, place: str) -> None:
        """Wait until it has printed that."""
        pattern = re.compile(r"(?:.*\n)*?" + pattern_of(expected))

        def look() -> bool:
            assert self._popen.poll() is None or pattern.match(self.output), f"{place}: ended:\n{self.output}"
            return pattern.match(self.output) is not None

        try:
            eventually_sync(look, deadline_s=20)
        except AssertionError as missing:
            raise AssertionError(f"{place}: {self.command} printed\n{self.output}\nand not\n{expected}") from missing

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, and see that it ends well."""
        if self._popen.poll() is None:
            self._popen.send_signal(number)
        try:
            code = self._popen.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._reader.join()
        # A program without a handler of its own ends by the signal.
        assert code in (0, -number), f"{self.command} ended with {code}:\n{self.output}"

    def kill(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()


class Interpreter:
    """The Python in which the page's Python blocks run."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        read, write = os.pipe()
        self._process = start_process(
            [sys.executable, "-W", "error", Path(__file__).with_name("interpreter.py"), str(write)],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            pass_fds=(write,),
        )
        os.close(write)
        self._answers = os.fdopen(read)

    def run(self, block: Block, source: str) -> str:
        """What the block prints; fails where it raises."""
        request = {"source": source, "place": block.place, "line": block.line}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, str] = json.loads(self._answers.readline() or '{"error": "the interpreter ended"}')
        assert "error" not in answer, f"{block.place}:\n{answer['error']}"
        return answer["output"]

    def close(self) -> None:
        """End it; its exit code must be 0: a process that has dispatched ends by itself."""
        try:
            self._end_input()
            assert self._process.wait(timeout=20) == 0, "the interpreter did not end well"
        finally:
            self.kill()

    def _end_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        """End it, whatever it does; safe twice."""
        self._end_input()
        self._process.kill()
        self._process.wait()
        self._answers.close()


class Reader:
    """Does one page after the other block. ``redis`` is the address of the server that stands in for the page's."""

    def __init__(self, directory: Path, redis: str | None = None) -> None:
        self._directory = directory
        self._redis = redis
        self._environment = environment_without_settings()
        self._processes: list[Process] = []
        self._interpreter: Interpreter | None = None
        self._printed = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        try:
            if kind is None:
                self._close()
        finally:
            if self._interpreter is not None:
                self._interpreter.kill()
            for process in self._processes:
                process.kill()

    def _close(self) -> None:
        if self._interpreter is not None:
            self._interpreter.close()
        for process in reversed(self._processes):
            process.stop()

    def do(self, block: Block) -> None:
        """What the page says."""
        if block.not_run:
            return
        if block.file:
            self.write(block.file, self._here(block.text))
        elif block.language == "python":
            self._printed = self._run_python(block)
        elif block.language == "output":
            self._compare(block, block.text, self._printed)
        elif block.language == "console":
            self._type(block)
        else:
            raise AssertionError(f"{block.place}: a {block.language!r} block names no file and cannot be run")

    def _here(self, text: str) -> str:
        if REDIS in text:
            assert self._redis is not None, "the page uses Redis, and no server is there"
            text = text.replace(REDIS, self._redis)
        return text

    def _there(self, text: str) -> str:
        return text.replace(self._redis, REDIS) if self._redis else text

    def write(self, name: str, text: str) -> None:
        """A file in the reader's directory."""
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _run_python(self, block: Block) -> str:
        if self._interpreter is None:
            self._interpreter = Interpreter(self._directory, self._environment)
        return self._there(self._interpreter.run(block, self._here(block.text)))

    def _compare(self, block: Block, expected: str, printed: str) -> None:
        if not re.fullmatch(pattern_of(expected), printed if printed.endswith("\n") else printed + "\n"):
            raise AssertionError(f"{block.place}: printed\n{printed}\nand not\n{expected}")

    def _type(self, block: Block) -> None:
        for command, expected in typed_in(block.text):
            if command == "^C":
                self._processes.pop().stop(signal.SIGINT)
            elif command.startswith("export "):
                self._export(command)
            elif SERVING.search(command):
                self._serve(block, command, expected)
            else:
                self._call(block, command, expected)

    def _export(self, command: str) -> None:
        for word in shlex.split(self._here(command))[1:]:
            name, _, value = word.partition("=")
            self._environment[name] = value

    def _serve(self, block: Block, command: str, expected: str) -> None:
        process = Process(self._here(command), self._directory, self._environment)
        self._processes.append(process)
        process.expect(self._here(expected), block.place)

    def _call(self, block: Block, command: str, expected: str) -> None:
        line = MAKE.sub(f"make --dry-run --directory {REPOSITORY} ", self._here(command))
        if self._redis:
            line = line.replace("redis-cli", f"redis-cli -p {self._redis.rpartition(':')[2]}")
        done: Any = subprocess.run(
            ["bash", "-c", line],
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_DEADLINE_S,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block.place}: {command} ended with {done.returncode}:\n{done.stdout}"
        if expected:
            self._compare(block, expected, self._there(done.stdout))


def typed_in(text: str) -> list[tuple[str, str]]:
    """Each command typed after ``$``, with what the page shows below it."""
    typed: list[tuple[str, str]] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            typed.append((line[2:].rstrip("\n"), ""))
        elif line.rstrip("\n") == "^C":
            typed.append(("^C", ""))
        elif line.startswith("> ") and typed:
            typed[-1] = (typed[-1][0].removesuffix("\\") + line[2:].rstrip("\n"), "")
        elif typed:
            typed[-1] = (typed[-1][0], typed[-1][1] + line)
    return [(command, shown if shown.strip() else "") for command, shown in typed]
