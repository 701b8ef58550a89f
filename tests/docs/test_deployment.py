"""The unit and container files of the guide start what they say, with the options that they give."""

import configparser
import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import REPOSITORY, blocks_of
from tests.docs.session import Reader, environment_without_settings
from tests.servers import start_process
from tests.waiting import eventually_sync

GUIDE = REPOSITORY / "docs" / "guide"
JOBS = """
from heracles import Job


@Job.register(queue="emails")
class SendEmail(Job):
    async def execute(self) -> None:
        pass
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Every file that the two pages show, and the module that their commands name."""
    with Reader(tmp_path) as reader:
        for page in ("deployment.md", "maintenance.md"):
            for block in blocks_of(GUIDE / page):
                if block.file and block.language in ("ini", "dockerfile"):
                    reader.write(block.file, block.text)
    (tmp_path / "myapp").mkdir()
    (tmp_path / "myapp" / "jobs.py").write_text(JOBS)
    return tmp_path


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names of units have capitals
    parser.read(path)
    return parser


def run_worker(arguments: list[str], directory: Path) -> None:
    """Start it, wait until it takes jobs, stop it as a supervisor does."""
    environment = {**environment_without_settings(), "HERACLES_URL": "sqlite:///jobs.db"}
    with (directory / "log").open("wb") as log:
        process = start_process(
            [sys.executable, "-m", "heracles", *arguments], cwd=directory, env=environment, stdout=log, stderr=log
        )
    try:
        eventually_sync(lambda: is_listed(arguments, directory, environment), deadline_s=20, interval_s=0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    except BaseException:
        print((directory / "log").read_text())
        raise
    finally:
        process.kill()
        process.wait()


def is_listed(arguments: list[str], directory: Path, environment: dict[str, str]) -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "heracles", "status", "--json"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name = next(argument for argument in arguments if argument.startswith("--id=")).removeprefix("--id=")
    return name in json.dumps(json.loads(done.stdout)["workers"])


def test_service_starts_a_worker(files: Path) -> None:
    service = unit(files / "heracles-worker@.service")["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert program.endswith("/bin/heracles")
    stop_s, shutdown_ms = int(service["TimeoutStopSec"]), int(arguments[-1].partition("=")[2])
    assert shutdown_ms / 1000 + 5 < stop_s  # it has left before it would be killed
    run_worker([argument.replace("%H-%i", "host-1") for argument in arguments], files)


def test_timer_starts_a_cleanup(files: Path) -> None:
    timer, service = unit(files / "heracles-cleanup.timer"), unit(files / "heracles-cleanup.service")
    assert timer["Timer"]["OnCalendar"]
    program, *arguments = shlex.split(service["Service"]["ExecStart"])
    assert program.endswith("/bin/heracles")
    run_cleanup(arguments, files)


def test_line_for_cron_cleans_up(files: Path) -> None:
    page = (GUIDE / "maintenance.md").read_text()
    found = re.search(r"^\S+ \S+ \* \* \* cd .* \.venv/bin/heracles (cleanup .*)$", page, re.MULTILINE)
    assert found is not None
    run_cleanup(shlex.split(found[1]), files)


def run_cleanup(arguments: list[str], directory: Path) -> None:
    environment = {**environment_without_settings(), "HERACLES_URL": "sqlite:///jobs.db"}
    subprocess.run(
        [sys.executable, "-m", "heracles", *arguments], cwd=directory, env=environment, check=True, timeout=60
    )


def test_container_starts_a_worker(files: Path) -> None:
    lines = dict(line.split(" ", 1) for line in (files / "Containerfile").read_text().splitlines())
    entry, command = json.loads(lines["ENTRYPOINT"]), json.loads(lines["CMD"])
    assert entry[0] == "heracles"
    app = re.search(r"HERACLES_APP=(\S+)", lines["ENV"])
    assert app is not None
    run_worker([*entry[1:], *command, f"--app={app[1]}"], files)
