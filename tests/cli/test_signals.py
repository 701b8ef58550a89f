"""SIGTERM and SIGINT: once in order, twice by force, and at any other moment an end within seconds."""

import asyncio
import signal
import time

import pytest

from heracles.model import JobStatus
from tests.cli.conftest import Site
from tests.cli.process import running
from tests.servers import Server, free_port

#: What is promised, in seconds.
FORCED_S = 5.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_one_lets_what_runs_finish(number: signal.Signals, site: Site) -> None:
    with running("work", "--id=a", cwd=site.directory) as worker:
        running_job = await site.dispatch("WaitAtDoor", "door")
        await site.runs(running_job)
        waiting = await site.dispatch("Greet", "bob")
        worker.signal(number)
        worker.await_line("told to stop")
        site.open("door")
        assert worker.end() == 0
    assert await site.status(running_job) is JobStatus.COMPLETED
    assert await site.status(waiting) is JobStatus.PENDING


@pytest.mark.parametrize("name", ["WaitAtDoor", "BlockTheLoop"])
@pytest.mark.parametrize("processes", [1, 2])
async def test_the_second_one_gives_it_back(name: str, processes: int, site: Site) -> None:
    with running("work", "--id=a", f"--processes={processes}", cwd=site.directory) as worker:
        job = await site.dispatch(name, "never")
        await site.runs(job)
        worker.signal(signal.SIGTERM)
        await asyncio.sleep(0.1)  # two signals at once are one to the system
        worker.signal(signal.SIGTERM)
        started = time.monotonic()
        assert worker.end() == 0
        assert time.monotonic() - started < FORCED_S
    record = await site.record(job)
    assert (record.status, record.retries) == (JobStatus.PENDING, 0)


@pytest.mark.parametrize("processes", [1, 2])
async def test_the_shutdown_timeout_is_a_second_one(processes: int, site: Site) -> None:
    flags = ("--shutdown-timeout=200", f"--processes={processes}")
    with running("work", "--id=a", *flags, cwd=site.directory) as worker:
        job = await site.dispatch("WaitAtDoor", "never")
        await site.runs(job)
        worker.signal(signal.SIGTERM)
        started = time.monotonic()
        assert worker.end() == 0
        assert time.monotonic() - started < FORCED_S + 0.2
    assert await site.status(job) is JobStatus.PENDING


@pytest.mark.parametrize("processes", [1, 2])
def test_while_it_waits_for_its_store(processes: int, site: Site) -> None:
    url = f"--url=redis://127.0.0.1:{free_port()}"
    flags = (url, "--wait-for-store", f"--processes={processes}")
    with running("work", "--id=a", *flags, cwd=site.directory) as worker:
        worker.await_line("waiting for the store", times=processes)
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0


@pytest.mark.parametrize("processes", [1, 2])
async def test_signals_up_to_the_last_moment_change_nothing(processes: int, site: Site) -> None:
    with running("work", "--id=a", f"--processes={processes}", cwd=site.directory) as worker:
        worker.await_line("jobs: ")
        while worker.process.poll() is None:
            worker.signal(signal.SIGTERM)
            await asyncio.sleep(0.002)
        assert worker.end() == 0


def test_while_the_app_is_imported(site: Site) -> None:
    (site.directory / "slow.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    with running("work", "--id=a", "--app=slow", cwd=site.directory) as worker:
        worker.await_line("importing")
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0
        assert worker.log.split() == ["importing"]


def test_while_the_store_does_not_answer_at_the_start(site: Site, server: Server) -> None:
    server.freeze()
    (site.directory / "jobs.py").write_text("print('imported', flush=True)\n")
    with running("work", "--id=a", f"--url={server.url}", cwd=site.directory) as worker:
        worker.await_line("imported")
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0


async def test_while_its_store_is_away(site: Site, server: Server) -> None:
    with running("work", "--id=a", f"--url={server.url}", cwd=site.directory) as worker:
        worker.await_line("jobs: ")
        server.kill()
        worker.await_line("is away")
        started = time.monotonic()
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0
        assert time.monotonic() - started < 2 * FORCED_S
