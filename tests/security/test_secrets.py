"""Passwords: in no log line, error, repr or list of processes, whatever goes wrong."""

import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has none
import pytest

from heracles import Queue, Redis, RedisTransport, TransportError
from tests.cli.process import Running, run, running
from tests.security.guarded import PASSWORDS, PREFIX
from tests.servers import Server
from tests.waiting import eventually_sync

SECRET = PASSWORDS["worker"]
#: Refused commands that are watched, and how many a worker sends a second at most, all its parts together.
ATTEMPTS, MOST_A_SECOND = 40, 25
APP = """\
from heracles import job

@job(queue="emails")
def greet() -> str:
    return "hello"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs.py").write_text(APP)
    return tmp_path


def url_of(server: Server, *, password: str = SECRET, user: str = "worker") -> str:
    return f"redis://{user}:{password}@127.0.0.1:{server.port}"


def env_of(server: Server, **options: str) -> Mapping[str, str]:
    return {"HERACLES_URL": url_of(server, **options)}


@contextmanager
def worker(folder: Path, env: Mapping[str, str], *more: str) -> Iterator[Running]:
    arguments = ("work", "--id=w", "--queues=emails", f"--key-prefix={PREFIX}", "--log-level=debug", *more)
    with running(*arguments, cwd=folder, env=env) as started:
        yield started


def arguments_of(process: Running) -> str:
    """What everybody on the machine may see of it and its children."""
    parent = psutil.Process(process.process.pid)
    return json.dumps([one.cmdline() for one in (parent, *parent.children(recursive=True))])


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_password_in_the_environment_is_shown_nowhere(guarded: Server, folder: Path, processes: str) -> None:
    with worker(folder, env_of(guarded), f"--processes={processes}") as started:
        started.await_line(" serves ", times=int(processes))
        assert SECRET not in arguments_of(started)
        # A failover, a restart: all that is logged of an outage.
        guarded.command("CLIENT", "KILL", "TYPE", "normal")
        started.signal(signal.SIGTERM)
        assert started.end() == 0
        assert SECRET not in started.log


def test_a_pool_hands_a_url_on_by_the_environment(guarded: Server, folder: Path) -> None:
    """Only who wrote the password into the command line shows it there."""
    with worker(folder, {}, "--processes=2", f"--url={url_of(guarded)}") as started:
        started.await_line(" serves ", times=2)
        children = psutil.Process(started.process.pid).children(recursive=True)
        assert len(children) >= 2
        assert SECRET not in json.dumps([child.cmdline() for child in children])
        assert SECRET not in started.log


@pytest.mark.parametrize("command", [["work", "--id=w"], ["status"], ["cleanup"]], ids=lambda words: words[0])
@pytest.mark.parametrize("given", ["wrong password", "unknown user", "no password", "nobody listens", "no such host"])
def test_a_command_that_is_refused_says_one_line_without_the_password(
    guarded: Server, folder: Path, command: list[str], given: str
) -> None:
    wrong = f"mistyped-{SECRET}"
    url = {
        "wrong password": url_of(guarded, password=wrong),
        "unknown user": url_of(guarded, user="nobody"),
        "no password": f"redis://127.0.0.1:{guarded.port}",
        "nobody listens": f"redis://worker:{SECRET}@127.0.0.1:1",
        "no such host": f"redis://worker:{SECRET}@nowhere.invalid:6379",
    }[given]
    if given == "no password":
        guarded.command("ACL", "SETUSER", "default", "resetpass", ">for-nobody")
    ended = run(*command, f"--key-prefix={PREFIX}", cwd=folder, env={"HERACLES_URL": url})
    assert ended.code == 1, ended
    assert SECRET not in ended.error
    assert "Traceback" not in ended.error


@pytest.mark.parametrize("missing", ["info", "evalsha", "hset"])
def test_a_worker_that_lacks_a_permission_says_so_in_one_line(guarded: Server, folder: Path, missing: str) -> None:
    guarded.command("ACL", "SETUSER", "worker", f"-{missing}")
    ended = run("work", "--id=w", "--queues=emails", f"--key-prefix={PREFIX}", cwd=folder, env=env_of(guarded))
    assert ended.code == 1, ended
    assert "permission" in ended.error
    assert SECRET not in ended.error


@pytest.mark.parametrize(
    "url",
    [
        f"redis://worker:{SECRET}@127.0.0.1:port",
        f"redis//worker:{SECRET}@127.0.0.1",
        f"worker:{SECRET}@127.0.0.1",
        f"redis+sentinel://worker:{SECRET}@127.0.0.1",
        f"redis://worker:{SECRET}@[::1",
        f"sqlite://worker:{SECRET}@x",
    ],
)
def test_a_url_that_cannot_be_read_is_not_repeated(folder: Path, url: str) -> None:
    for ended in (
        run("work", "--id=w", cwd=folder, env={"HERACLES_URL": url}),
        run("work", "--id=w", f"--url={url}", cwd=folder),
        run("status", cwd=folder, env={"HERACLES_REDIS_URL": url}),
    ):
        assert ended.code == 2, ended
        assert SECRET not in ended.error


def test_a_program_that_is_refused_shows_no_password_in_its_traceback(guarded: Server, folder: Path) -> None:
    wrong = env_of(guarded, password=f"mistyped-{SECRET}")
    program = "import jobs\njobs.greet.sync.dispatch()\n"
    with running(cwd=folder, env=wrong, command=(sys.executable, "-c", program)) as started:
        assert started.end() == 1
        assert "TransportError" in started.log
        assert SECRET not in started.log


async def test_no_repr_shows_it(guarded: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for form in ("redis", "redis+cluster", "redis+sentinel"):
        end = "/mymaster" if form == "redis+sentinel" else ""
        Redis.register_connection("shown", url=f"{form}://worker:{SECRET}@127.0.0.1:{guarded.port}{end}")
        transport = RedisTransport(connection="shown", key_prefix=PREFIX, dispatch_timeout=100)
        queue = Queue.get("shown", transport=transport)
        texts = [repr(transport), transport.identity, repr(queue), repr(Redis.connection("shown")), repr(vars(Redis))]
        try:
            await queue.counts()
        except TransportError as error:
            texts += [str(error), repr(error), repr(error.__cause__)]
        Queue.remove("shown")
        await transport.close()
        assert SECRET not in " ".join(texts)
    assert SECRET not in caplog.text


def test_a_worker_whose_password_is_changed_says_so_and_goes_on_when_it_is_put_right(
    guarded: Server, folder: Path
) -> None:
    with worker(folder, env_of(guarded), "--lease=2000") as started:
        started.await_line(" serves ")
        guarded.command("ACL", "SETUSER", "worker", "resetpass", ">another")
        guarded.command("CLIENT", "KILL", "USER", "worker")
        started.await_line("password")
        check_is_calm(guarded, started)
        guarded.command("ACL", "SETUSER", "worker", "resetpass", f">{SECRET}")
        started.await_line("is back")
        check_runs_jobs(guarded, folder)
        assert SECRET not in started.log


def test_a_worker_that_loses_a_permission_says_so_and_goes_on_when_it_has_it_again(
    guarded: Server, folder: Path
) -> None:
    with worker(folder, env_of(guarded), "--lease=2000") as started:
        started.await_line(" serves ")
        guarded.command("ACL", "SETUSER", "worker", "-evalsha")
        started.await_line("permission")
        check_is_calm(guarded, started)
        guarded.command("ACL", "SETUSER", "worker", "+evalsha")
        check_runs_jobs(guarded, folder)


def refusals(server: Server) -> int:
    """How often a login or a script was refused."""
    stats = server.info("commandstats")
    told = ",".join(stats.get(f"cmdstat_{command}", "") for command in ("auth", "evalsha"))
    return sum(int(number) for number in re.findall(r"(?:rejected|failed)_calls\W+(\d+)", told))


def check_is_calm(server: Server, started: Running) -> None:
    """It tries on without haste, and the log does not grow with the attempts."""
    before, began = refusals(server), time.monotonic()
    eventually_sync(lambda: refusals(server) >= before + ATTEMPTS, what="it tries on", deadline_s=60)
    assert time.monotonic() - began > ATTEMPTS / MOST_A_SECOND
    lines = [line for line in started.log.splitlines() if "WARNING" in line or "ERROR" in line]
    assert len(lines) <= 6, started.log


def check_runs_jobs(server: Server, folder: Path) -> None:
    program = (
        "import jobs\nfrom heracles import Queue, RedisTransport\n"
        f"Queue.get('emails', transport=RedisTransport, transport_options={{'key_prefix': {PREFIX!r}}})\n"
        "print(jobs.greet.sync.dispatch().result(timeout=30))\n"
    )
    with running(cwd=folder, env=env_of(server), command=(sys.executable, "-c", program)) as producer:
        assert producer.end() == 0, producer.log
        assert "hello" in producer.log


@pytest.mark.skipif(os.name != "posix", reason="permissions of files are POSIX")
def test_the_sqlite_file_takes_the_permissions_that_the_umask_leaves(folder: Path) -> None:
    program = (
        "import os\nos.umask(0o077)\nimport jobs\njobs.greet.sync.dispatch()\n"
        "from pathlib import Path\n"
        "print(sorted((path.name, oct(path.stat().st_mode & 0o777)) for path in Path().glob('heracles.db*')))\n"
    )
    with running(cwd=folder, command=(sys.executable, "-c", program)) as started:
        assert started.end() == 0, started.log
        shown = started.log.splitlines()[-1]
    assert "('heracles.db', '0o600')" in shown
    assert "0o644" not in shown
