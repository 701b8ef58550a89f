"""``heracles work``: it serves what others dispatch, by the settings that were given."""

import json
import re
import signal
from pathlib import Path

import pytest

from heracles.model import JobStatus
from tests.cli.conftest import Site
from tests.cli.process import run, running
from tests.servers import Server
from tests.waiting import eventually


async def test_it_runs_what_another_program_dispatches(site: Site) -> None:
    with running("work", "--id=worker-1", cwd=site.directory) as worker:
        record = await site.ends(await site.dispatch("Greet", "bob"))
        assert record.status is JobStatus.COMPLETED
        assert record.result == b'"BOB"'
        assert record.worker == "worker-1"
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0


async def test_the_banner_says_whom_it_serves_with_what(site: Site) -> None:
    with running("work", "--id=worker-1", "--queues=other,default", "--concurrency=7", cwd=site.directory) as worker:
        worker.await_line("jobs: ")
        assert f"worker worker-1, pid {worker.process.pid}" in worker.log
        assert worker.log.count(f"store: sqlite:///{site.directory}/heracles.db") == 1
        assert "queues: other, default (7 at once)" in worker.log
        assert "jobs: BlockTheLoop, Break, Follow, Greet, Lead, WaitAtDoor" in worker.log


async def test_the_banner_says_how_many_jobs_each_queue_runs_at_once(site: Site) -> None:
    (site.directory / "worker.toml").write_text('id = "tables"\n[queues.default]\nconcurrency = 4\n[queues.other]\n')
    with running("work", "--config=worker.toml", cwd=site.directory) as worker:
        worker.await_line("jobs: ")
        assert "queues: default (4 at once), other (1 at once)\n" in worker.log
    with running("work", "--config=worker.toml", "--processes=2", cwd=site.directory) as pool:
        pool.await_line("jobs: ")
        assert "queues: default (4 at once), other (1 at once) in each of 2 processes\n" in pool.log


async def test_the_banner_says_which_queues_have_a_limit_of_their_own(site: Site) -> None:
    (site.directory / "worker.json").write_text('{"id": "own", "queues": {"other": {"concurrency": 2}, "tuned": {}}}')
    with running("work", "--config=worker.json", "--concurrency=4", cwd=site.directory) as worker:
        worker.await_line("jobs: ")
        # What the program says of "tuned" gives way to the command line.
        assert "queues: other (2), tuned; 4 at once\n" in worker.log
    with running("work", "--config=worker.json", "--concurrency=4", "--processes=2", cwd=site.directory) as pool:
        pool.await_line("jobs: ")
        assert "queues: other (2), tuned; 2 processes, each with 4 at once\n" in pool.log


@pytest.mark.parametrize("name", ["worker.toml", "worker.json"])
async def test_it_serves_by_a_configuration_file(name: str, site: Site) -> None:
    (site.directory / "worker.toml").write_text(
        'id = "from-file"\napp = "jobs"\n[queues.default]\nmaxRetries = 0\n[queues.other]\n'
    )
    (site.directory / "worker.json").write_text(
        '{"id": "from-file", "app": "jobs", "queues": {"default": {"maxRetries": 0}, "other": {}}}'
    )
    with running("work", f"--config={name}", cwd=site.directory):
        failed = await site.ends(await site.dispatch("Break"))
        followed = await site.ends(await site.dispatch("Follow", queue="other"), "other")
    assert (failed.status, failed.retries) == (JobStatus.FAILED, 0)
    assert (followed.status, followed.worker) == (JobStatus.COMPLETED, "from-file")


async def test_retries_and_pause_as_the_flags_say(site: Site) -> None:
    flags = ("--max-retries=1", "--retry-delay=10", "--pause-on-error")
    with running("work", "--id=a", *flags, cwd=site.directory):
        failed = await site.ends(await site.dispatch("Break"))
    assert (failed.status, failed.retries) == (JobStatus.FAILED, 1)
    assert (await site.transport.overview("default")).gates.paused


async def test_settings_of_the_program_hold_where_nothing_else_was_given(site: Site) -> None:
    with running("work", "--id=a", "--queues=tuned", cwd=site.directory) as worker:
        failed = await site.ends(await site.dispatch("Break", queue="tuned"), "tuned")
        assert failed.retries == 0
        waiting = [await site.dispatch("WaitAtDoor", "door", queue="tuned") for _ in range(3)]

        async def two_run() -> bool:
            return (await site.transport.overview("tuned")).counts[JobStatus.RUNNING] == 2

        await eventually(two_run)
        site.open("door")
        for dispatch_id in waiting:
            await site.ends(dispatch_id, "tuned")
        assert "queues: tuned (2 at once)" in worker.log


async def test_concurrency_of_the_command_line_is_the_workers_and_its_queues(site: Site) -> None:
    with running("work", "--id=a", "--concurrency=3", "--queues=default,other", cwd=site.directory):
        for queue in ("default", "other"):
            for _ in range(3):
                await site.dispatch("WaitAtDoor", "door", queue=queue)

        async def running_now() -> int:
            overviews = [await site.transport.overview(queue) for queue in ("default", "other")]
            return sum(overview.counts[JobStatus.RUNNING] for overview in overviews)

        async def three_run() -> bool:
            return await running_now() == 3

        await eventually(three_run)
        site.open("door")


@pytest.mark.parametrize("more", [(), ("--url=sqlite:///named.db",), ("--key-prefix=mine",)])
async def test_the_store_is_told_once(more: tuple[str, ...], site: Site, server: Server) -> None:
    env = {"REDIS_URL": server.url} if "--key-prefix=mine" in more else {}
    with running("work", "--id=worker-1", *more, cwd=site.directory, env=env) as worker:
        worker.await_line("jobs: ")
        told = [line for line in worker.log.splitlines() if "store: " in line]
        assert len(told) == 1
        assert ("named.db" if more[:1] == ("--url=sqlite:///named.db",) else "mine" if more else "no other") in told[0]


async def test_what_a_job_dispatches_goes_to_the_store_that_was_named(site: Site) -> None:
    with running("work", "--id=a", "--url=sqlite:///heracles.db", cwd=site.directory, env={"REDIS_URL": "redis://x"}):
        record = await site.ends(await site.dispatch("Lead"))
    assert record.result is not None
    assert await site.status(json.loads(record.result), "other") is JobStatus.PENDING


async def test_json_lines_carry_the_ids(site: Site) -> None:
    with running("work", "--id=worker-1", "--log-format=json", cwd=site.directory) as worker:
        dispatch_id = await site.dispatch("Greet", "two\nlines")
        line = json.loads(worker.await_line("hello two"))
        worker.signal(signal.SIGTERM)
        worker.end()
        everything = [json.loads(text) for text in worker.log.splitlines()]
    assert line["message"] == "hello two\nlines"
    assert line["dispatch_id"] == dispatch_id
    assert line["queue_name"] == "default"
    assert line["logger"] == "heracles.job.Greet"
    assert {"time", "level", "worker", "pid"} <= line.keys()
    assert {entry["worker"] for entry in everything} == {"worker-1"}


async def test_one_message_is_one_line_without_control_characters(site: Site) -> None:
    with running("work", "--id=a", cwd=site.directory) as worker:
        await site.dispatch("Greet", "x\n2026-01-01 INFO forged \x1b[31m\r\u2028")
        line = worker.await_line("hello x")
        assert r"hello x\n2026-01-01 INFO forged \x1b[31m\r\u2028" in line
        assert "\x1b" not in worker.log


async def test_log_level(site: Site) -> None:
    with running("work", "--id=a", "--log-level=debug", cwd=site.directory) as worker:
        await site.dispatch("Greet", "bob")
        assert "DEBUG" in worker.await_line("whispered bob")
    with running("work", "--id=a", "--log-level=warning", cwd=site.directory) as worker:
        await site.ends(await site.dispatch("Greet", "bob"))
        worker.signal(signal.SIGTERM)
        worker.end()
        assert worker.log == ""


async def test_a_pool_runs_workers_with_numbered_ids(site: Site) -> None:
    with running("work", "--id=pool", "--processes=2", cwd=site.directory) as pool:
        doors = [await site.dispatch("WaitAtDoor", "door") for _ in range(2)]
        for dispatch_id in doors:
            await site.runs(dispatch_id)
        workers = {(await site.record(dispatch_id)).worker for dispatch_id in doors}
        assert workers == {"pool.1", "pool.2"}
        site.open("door")
        for dispatch_id in doors:
            await site.ends(dispatch_id)
        assert "2 processes, each with 1 at once" in pool.log
        pool.signal(signal.SIGTERM)
        assert pool.end() == 0
    assert not await site.transport.workers()


def test_missing_id(tmp_path: Path) -> None:
    ended = run("work", cwd=tmp_path)
    assert ended.code == 2
    assert "--id is missing" in ended.error
    assert "--id=worker-1" in ended.error


def test_a_job_that_cannot_be_decoded_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(
        "from heracles import Job\n"
        "@Job.register()\n"
        "class Odd(Job):\n"
        "    def __init__(self, thing: 'Nowhere') -> None: ...\n"
        "    def execute(self) -> None: ...\n"
    )
    ended = run("work", "--id=a", cwd=tmp_path)
    assert ended.code == 2
    assert "Odd" in ended.error
    assert not (tmp_path / "heracles.db").exists()


def test_an_app_without_jobs_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text("")
    with running("work", "--id=a", cwd=tmp_path) as worker:
        warning = worker.await_line("none are registered")
        assert "WARNING" in warning
        assert "FAILED after about 5 minutes" in warning
        assert re.search(r"\d\d:\d\d:\d\d\.\d\d\d ", worker.log)


def test_a_worker_that_serves_none_of_its_apps_queues_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(
        "from heracles import Job\n\n@Job.register(queue='emails')\nclass Send(Job):\n    def execute(self): ...\n"
    )
    with running("work", "--id=a", cwd=tmp_path) as worker:
        assert "--queues=emails" in worker.await_line("none of these jobs")
