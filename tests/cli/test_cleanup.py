"""``heracles cleanup``: what it removes, and what it prints of it."""

import os
import pty
import subprocess
from pathlib import Path

from heracles.model import JobStatus, Report, ReportKind, Session
from heracles.transport import Transport
from heracles.wiring import transport_from_url
from tests.cli.conftest import Site
from tests.cli.process import COMMAND, LONGEST_S, environment, run
from tests.servers import Server

SESSION = Session(worker_id="w", consumer="w")


async def finish(transport: Transport, queue: str, count: int) -> None:
    """That many jobs COMPLETED."""
    site = Site(None, transport)  # type: ignore[arg-type]  # nothing here runs in a directory
    for _ in range(count):
        await site.dispatch("Greet", "x", queue=queue)
    started = (await transport.exchange(queue, SESSION, [], count)).started
    reports = [
        Report(
            job_id=delivery.envelope.job_id,
            dispatch_id=delivery.envelope.dispatch_id,
            token=delivery.token,
            receipt=delivery.receipt,
            kind=ReportKind.COMPLETED,
        )
        for delivery in started
    ]
    await transport.exchange(queue, SESSION, reports, 0)


def rows(text: str) -> dict[str, list[int]]:
    """The numbers of each line of the report."""
    return {name: [int(number) for number in numbers] for name, *numbers in map(str.split, text.splitlines()[1:])}


async def test_finished_jobs_older_than_the_retention(site: Site) -> None:
    await finish(site.transport, "default", 3)
    waiting = await site.dispatch("Greet", "x")
    assert rows(run("cleanup", cwd=site.directory).out) == {"default": [0, 0, 0], "total": [0, 0, 0]}
    ended = run("cleanup", "--retention=0", cwd=site.directory)
    assert ended.code == 0
    assert rows(ended.out) == {"default": [3, 3, 0], "total": [3, 3, 0]}
    assert await site.status(waiting) is JobStatus.PENDING
    assert len(await site.transport.page("default", None, 100)) == 1


async def test_a_dry_run_prints_the_same_and_removes_nothing(site: Site) -> None:
    await finish(site.transport, "default", 3)
    dry = run("cleanup", "--retention=0", "--dry-run", cwd=site.directory)
    assert dry.code == 0
    assert "nothing was removed" in dry.err
    assert len(await site.transport.page("default", None, 100)) == 3
    assert run("cleanup", "--retention=0", cwd=site.directory).out == dry.out
    assert not await site.transport.page("default", None, 100)


async def test_max_trims_entries_and_keeps_records(site: Site) -> None:
    await finish(site.transport, "default", 5)
    assert rows(run("cleanup", "--max=2", cwd=site.directory).out)["default"] == [3, 0, 0]
    assert len(await site.transport.page("default", None, 100)) == 5


async def test_status_only(site: Site) -> None:
    await finish(site.transport, "default", 3)
    assert rows(run("cleanup", "--retention=0", "--status-only", cwd=site.directory).out)["default"] == [0, 3, 0]


async def test_only_the_queues_that_were_named(site: Site) -> None:
    await finish(site.transport, "emails", 1)
    await finish(site.transport, "reports", 1)
    report = rows(run("cleanup", "--retention=0", "--queues=emails", cwd=site.directory).out)
    assert report == {"emails": [1, 1, 0], "total": [1, 1, 0]}
    assert rows(run("cleanup", "--retention=0", cwd=site.directory).out) == {
        "emails": [0, 0, 0],
        "reports": [1, 1, 0],
        "total": [1, 1, 0],
    }


async def test_a_queue_that_the_store_does_not_know(site: Site) -> None:
    await finish(site.transport, "emails", 1)
    for more in ((), ("--all",)):
        ended = run("cleanup", "--retention=0", "--queues=emials", *more, cwd=site.directory)
        assert ended.code == 0
        assert ended.err == ("heracles: no queue named emials in this store: nothing is removed there; known: emails\n")
        assert rows(ended.out) == {"emials": [0, 0, 0], "total": [0, 0, 0]}
    assert list(await site.transport.queues()) == ["emails"]


def test_no_store_yet(tmp_path: Path) -> None:
    ended = run("cleanup", "--all", "--url=sqlite:///jobs.db", cwd=tmp_path)
    assert ended.code == 0
    assert "no store yet at sqlite:///" in ended.err
    assert rows(ended.out) == {"total": [0, 0, 0]}
    assert not list(tmp_path.iterdir())


async def test_all_removes_what_waits_and_runs_too(site: Site) -> None:
    await finish(site.transport, "default", 1)
    for _ in range(2):
        await site.dispatch("Greet", "x")
    await site.transport.exchange("default", SESSION, [], 1)
    assert rows(run("cleanup", "--all", "--yes", cwd=site.directory).out)["default"][2] == 2
    assert not await site.transport.page("default", None, 100)


async def test_all_and_status_only_contradict_each_other(site: Site) -> None:
    await site.dispatch("Greet", "x")
    ended = run("cleanup", "--all", "--status-only", cwd=site.directory)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "heracles: --all and --status-only contradict each other: give one of them\n"
    assert len(await site.transport.page("default", None, 100)) == 1


def answer_on_a_terminal(site: Site, answer: bytes, *more: str) -> tuple[int, str]:
    """The exit code and what the terminal shows."""
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    with subprocess.Popen(
        [*COMMAND, "cleanup", "--all", *more],
        cwd=site.directory,
        env=environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        shown, _ = process.communicate(timeout=LONGEST_S)
    os.close(ours)
    os.close(theirs)
    return process.returncode, shown


async def test_all_asks_first_on_a_terminal(site: Site) -> None:
    waiting = await site.dispatch("Greet", "x")
    code, shown = answer_on_a_terminal(site, b"\n")
    assert code == 1
    assert "Remove every job of default from sqlite:///" in shown
    assert "nothing was removed" in shown
    assert await site.status(waiting) is JobStatus.PENDING
    code, shown = answer_on_a_terminal(site, b"y\n", "--yes")
    assert "Remove every job" not in shown
    assert not await site.transport.page("default", None, 100)


async def test_yes_on_a_terminal_and_no_question_without_one(site: Site) -> None:
    await site.dispatch("Greet", "x")
    assert answer_on_a_terminal(site, b"y\n")[0] == 0
    assert not await site.transport.page("default", None, 100)
    await site.dispatch("Greet", "x")
    assert run("cleanup", "--all", cwd=site.directory).code == 0
    assert not await site.transport.page("default", None, 100)


async def test_on_redis_with_a_prefix(site: Site, server: Server) -> None:
    transport = transport_from_url(server.url, key_prefix="myapp:jobs")
    await finish(transport, "emails", 4)
    await transport.close()
    (site.directory / "jobs.py").unlink()
    ended = run(
        "cleanup",
        *("--redis=default", "--queues=emails", "--keyprefix=myapp:jobs", "--retention=0", "--max=1000"),
        cwd=site.directory,
        env={"HERACLES_REDIS_URL": server.url},
    )
    assert ended.code == 0
    assert rows(ended.out)["emails"] == [4, 4, 0]
    assert not server.command("KEYS", "myapp:jobs:status:*")
