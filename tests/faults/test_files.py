"""The file under worker processes is full, damaged, deleted or locked: said once, borne calmly, then served again."""

# ruff: noqa: ASYNC240 - what a test does to its files may block its loop

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # no stubs are installed
import pytest

from heracles import TransportError
from heracles.model import JobStatus
from tests.cli.process import Running
from tests.faults.site import FaultSite, told
from tests.processes.site import LEASE_MS
from tests.stores import SqliteStore
from tests.waiting import eventually

#: Of a processor, while a worker cannot use its file; a loop without a pause takes all of one.
MOST_CPU = 0.5
WATCHED_S = 2.0
#: Bytes: less than what one result takes, more than what the processes under test write elsewhere.
SMALL_FILE = 100_000


def _cpu_s(worker: Running) -> float:
    return float(sum(psutil.Process(worker.process.pid).cpu_times()[:2]))


async def _is_calm(worker: Running, most_lines: int = 4) -> None:
    before, lines = _cpu_s(worker), len(worker.log.splitlines())
    await asyncio.sleep(WATCHED_S)
    assert _cpu_s(worker) - before < MOST_CPU * WATCHED_S
    assert len(worker.log.splitlines()) - lines <= most_lines, worker.log


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux changes the limits of another process")
async def test_a_worker_that_may_write_no_more_says_so_and_goes_on_when_it_may(file_site: FaultSite) -> None:
    worker = await file_site.serving()
    await file_site.serves()
    _, hard = resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (SMALL_FILE, hard))
    dispatch_id = await file_site.dispatch("Large")
    await eventually(lambda: told(worker)[0] == 1, what="it says that it cannot write", deadline_s=30)
    await _is_calm(worker)
    assert (await file_site.record(dispatch_id)).status is not JobStatus.COMPLETED
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    record = await file_site.until(dispatch_id)
    assert (record.status, record.retries) == (JobStatus.COMPLETED, 0)
    await file_site.serves()
    await eventually(lambda: told(worker) == (1, 1), what=f"one line each: {worker.log}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = tmp_path / "small"
    mounted.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mounted], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk takes a privilege that this user does not have")
    yield mounted
    subprocess.run(["umount", "-l", mounted], check=True)


async def test_a_full_disk_costs_no_job(small_disk: Path, tmp_path: Path) -> None:
    with ExitStack() as processes:
        site = FaultSite(SqliteStore("sqlite-file", small_disk / "jobs.db"), tmp_path, processes)
        worker = await site.serving("--concurrency=2")
        held = await site.dispatch("Wait", "door")
        await site.begun(held)
        stored = await _fill(site, small_disk)
        with pytest.raises(TransportError, match="no space is left"):
            await site.dispatch("Large", "x" * 50_000)
        site.open("door")
        # While the disk fills up, some calls still find room.
        await _is_calm(worker, most_lines=20)
        (small_disk / "ballast").unlink()
        for dispatch_id in [held, *stored]:
            assert (await site.until(dispatch_id)).status in (JobStatus.COMPLETED, JobStatus.FAILED)
        await site.serves()
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0
        await site.transport.close()


async def _fill(site: FaultSite, disk: Path) -> list[str]:
    """Leave no room; the dispatches that were acknowledged until then."""
    stored = [await site.dispatch("Tick") for _ in range(5)]
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        for size in (65_536, 4096, 512):
            _write_on(ballast.fileno(), size)
    return stored


def _write_on(file: int, size: int) -> None:
    try:
        while os.write(file, b"x" * size) == size:
            pass
    except OSError:
        return


async def test_a_file_deleted_under_a_worker_is_made_anew(file_site: FaultSite, tmp_path: Path) -> None:
    worker = await file_site.serving("--concurrency=2")
    held = await file_site.dispatch("Wait", "door")
    await file_site.begun(held)
    for file in tmp_path.glob("jobs.db*"):
        file.unlink()
    await file_site.serves()
    await _is_calm(worker)
    file_site.open("door")
    await eventually(lambda: _is_stopped(file_site, held), what="what nobody knows any more is stopped")
    await file_site.serves()


def _is_stopped(site: FaultSite, dispatch_id: str) -> bool:
    return bool(site.ends(dispatch_id))


async def test_a_damaged_file_is_refused_in_one_line_and_kept(file_site: FaultSite, tmp_path: Path) -> None:
    worker = await file_site.serving()
    await file_site.serves()
    await file_site.transport.close()
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0
    path = tmp_path / "jobs.db"
    _damage(path)
    before = path.read_bytes()
    again = file_site.worker(id="worker-2")
    assert again.end() == 1
    assert "damaged and was left as it is" in again.log.splitlines()[-1]
    assert "Traceback" not in again.log
    assert path.read_bytes() == before


async def test_a_file_damaged_under_a_worker_is_borne_until_a_copy_is_put_in_its_place(
    file_site: FaultSite, tmp_path: Path
) -> None:
    worker = await file_site.serving()
    await file_site.serves()
    await file_site.transport.close()
    path, copy = tmp_path / "jobs.db", tmp_path / "copy.db"
    _run("import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('VACUUM INTO ?', sys.argv[2:])", path, copy)
    _damage(path)
    await _is_calm(worker)
    await file_site.transport.close()
    copy.replace(path)
    await file_site.serves()
    assert worker.process.poll() is None


def _damage(path: Path) -> None:
    """Overwrite all but the header, by another process: POSIX drops a process's locks on a file when it closes one."""
    _run(
        "import sqlite3, sys; one = sqlite3.connect(sys.argv[1]); one.execute('PRAGMA wal_checkpoint(TRUNCATE)');"
        "one.close(); file = open(sys.argv[1], 'r+b'); size = file.seek(0, 2); file.seek(100);"
        "file.write(b'x' * (size - 100)); file.close()",
        path,
    )


def _run(source: str, *arguments: Path) -> None:
    subprocess.run([sys.executable, "-c", source, *map(str, arguments)], check=True, timeout=60)


async def test_workers_and_a_producer_killed_at_any_point_leave_a_sound_file(
    file_site: FaultSite, tmp_path: Path
) -> None:
    ids: list[str] = []
    for round in range(4):
        workers = [await file_site.serving("--concurrency=2", id=f"worker-{number}") for number in range(2)]
        ids += [await file_site.dispatch("Tick") for _ in range(20)]
        # At some other point of its work each time.
        await asyncio.sleep(0.03 * round)
        for worker in workers:
            worker.signal(signal.SIGKILL)
            worker.end()
    await file_site.serving("--concurrency=4")
    for dispatch_id in ids:
        record = await file_site.until(dispatch_id)
        assert (record.status, record.retries) == (JobStatus.COMPLETED, 0)
    await file_site.transport.close()
    check = sqlite3.connect(f"file:{tmp_path / 'jobs.db'}?mode=ro", uri=True)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


async def test_a_worker_frozen_in_a_transaction_holds_up_the_others_and_no_longer(file_site: FaultSite) -> None:
    frozen = await file_site.serving("--concurrency=4")
    other = await file_site.serving("--concurrency=4", id="worker-2")
    ids = [await file_site.dispatch("Tick") for _ in range(200)]
    frozen.signal(signal.SIGSTOP)
    await asyncio.sleep(1.5 * LEASE_MS / 1000)
    frozen.signal(signal.SIGCONT)
    for dispatch_id in ids:
        record = await file_site.until(dispatch_id)
        assert (record.status, record.retries) == (JobStatus.COMPLETED, 0)
    for worker in (frozen, other):
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0
