"""Each example does what its first lines say, started by the command that they give."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.servers import HOST, free_port, start_process
from tests.waiting import eventually_sync

EXAMPLES = Path(__file__).parents[2] / "examples"


def command_of(example: str) -> list[str]:
    """The command in the docstring of the example's program."""
    program = next(path for name in ("main.py", "manage.py") if (path := EXAMPLES / example / name).exists())
    found = re.search(r"^python examples/(\S+)(.*)$", program.read_text(), re.MULTILINE)
    assert found is not None, f"{program} does not say how it is started"
    return [sys.executable, str(EXAMPLES / found[1]), *found[2].split()]


def environment(directory: Path, **more: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HERACLES", "REDIS"))}
    return {**kept, "HERACLES_URL": f"sqlite:///{directory / 'jobs.db'}", **more}


def test_emails(tmp_path: Path) -> None:
    done = subprocess.run(
        command_of("emails"),
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "5 emails arrived: user-1@example.com, user-2@example.com" in done.stdout
    assert "after 1 retries" in done.stderr  # the busy mail server was tried again
    for noise in ("serves no queue", "Available AUTH", "handling connection"):
        assert noise not in done.stderr
    assert list(tmp_path.iterdir()) == []


class Site:
    """An example that serves HTTP."""

    def __init__(self, port: int) -> None:
        self._address = f"http://{HOST}:{port}"

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status code and decoded answer; code 0 where nobody listens yet."""
        request = urllib.request.Request(self._address + path, method=method)
        data = None if body is None else json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, data, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, None
        except OSError:
            return 0, None

    def result(self, path: str) -> Any:
        """What the job at that path returned, once it has completed."""
        return eventually_sync(lambda: self._completed(path), deadline_s=30)

    def _completed(self, path: str) -> Any:
        code, answer = self.ask("GET", path)
        return code == 200 and answer["status"] == "completed" and answer["result"]


@contextlib.contextmanager
def serving(example: str, directory: Path) -> Iterator[Site]:
    """The example while it runs; it has to end by Ctrl-C, its worker too."""
    port = free_port()
    log = directory / "log"
    with log.open("wb") as out:
        process = start_process(
            command_of(example),
            env=environment(directory, PORT=str(port)),
            cwd=directory,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        site = Site(port)
        eventually_sync(lambda: site.ask("GET", "/")[0] or process.poll() is not None, deadline_s=30)
        yield site
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)
    except BaseException:
        print(log.read_text())
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_fastapi(tmp_path: Path) -> None:
    with serving("fastapi_app", tmp_path) as site:
        code, answer = site.ask("POST", "/texts", {"text": "a rose is a rose"})
        assert code == 202
        assert site.result(f"/texts/{answer['id']}") == {"a": 2, "rose": 2, "is": 1}
        assert site.ask("GET", "/texts/nothing") == (404, None)


def test_flask(tmp_path: Path) -> None:
    with serving("flask_app", tmp_path) as site:
        code, answer = site.ask("POST", "/reports/2026/11")
        assert code == 202
        assert site.result(f"/reports/{answer['id']}") == "report of 2026-11"
        assert site.ask("GET", "/reports/nothing") == (404, None)


def test_django(tmp_path: Path) -> None:
    with serving("django_app", tmp_path) as site:
        code, answer = site.ask("POST", "/orders/1815/")
        assert (code, site.ask("POST", "/orders/1815/")) == (202, (202, answer))  # asked twice is one job
        assert site.result(f"/jobs/{answer['id']}/") == "order 1815 confirmed"
        assert site.ask("GET", "/jobs/nothing/") == (404, None)


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_the_guide_names_the_command(example: str) -> None:
    command = " ".join(["python", *(part.removeprefix(f"{EXAMPLES.parent}/") for part in command_of(example)[1:])])
    assert command in (EXAMPLES.parent / "docs" / "guide" / "examples.md").read_text()
