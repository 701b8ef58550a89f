"""``heracles status``: live workers, counts and gates."""

import json
import subprocess
from pathlib import Path

from tests.cli.conftest import Site
from tests.cli.process import COMMAND, LONGEST_S, environment, run, running


def test_an_empty_store(tmp_path: Path) -> None:
    ended = run("status", cwd=tmp_path)
    assert ended.code == 0
    assert f"sqlite:///{tmp_path}/heracles.db" in ended.out
    assert "no live workers" in ended.out
    assert "no queues yet" in ended.out
    assert ended.err == f"heracles: no store yet at sqlite:///{tmp_path}/heracles.db: the first dispatch makes it\n"
    found = json.loads(run("status", "--json", "--queues=emails", cwd=tmp_path).out)
    assert (found["workers"], found["queues"]) == ([], {})
    assert not list(tmp_path.iterdir()), "looking makes no file"


async def test_a_queue_that_the_store_does_not_know(site: Site) -> None:
    await site.dispatch("Greet", "x", queue="emails")
    with running("work", "--id=worker-1", "--queues=served", cwd=site.directory) as worker:
        worker.await_line("jobs: ")
        ended = run("status", "--queues=emials,emails,served", cwd=site.directory)
    assert ended.code == 0
    assert ended.err == "heracles: no queue named emials in this store; known: emails\n"
    assert [line.split()[0] for line in ended.out.splitlines()[-3:]] == ["emials", "emails", "served"]
    assert list(await site.transport.queues()) == ["emails"]


async def test_workers_counts_and_gates(site: Site) -> None:
    await site.transport.gate("paused", paused=True)
    await site.transport.gate("draining", draining=True)
    await site.dispatch("Greet", "x", queue="paused")
    await site.dispatch("Greet", "x", queue="paused", delay_ms=100_000)
    with running("work", "--id=worker-1", "--queues=default,other", cwd=site.directory):
        waiting = await site.dispatch("WaitAtDoor", "door")
        await site.runs(waiting)
        lines = {line.split()[0]: line.split() for line in run("status", cwd=site.directory).out.splitlines() if line}
        found = json.loads(run("status", "--json", cwd=site.directory).out)
    assert lines["worker-1"][1:3] == ["running", "1"]
    assert lines["worker-1"][-2:] == ["default,", "other"]
    assert lines["default"] == ["default", "0", "0", "1", "0", "0", "0", "0", "open"]
    assert lines["paused"] == ["paused", "2", "1", "0", "0", "0", "0", "0", "paused"]
    assert lines["draining"][-1] == "draining"
    assert found["workers"][0]["id"] == "worker-1"
    assert found["workers"][0]["running"] == [waiting]
    assert found["queues"]["default"]["counts"]["running"] == 1
    assert found["queues"]["paused"]["scheduled"] == 1
    assert found["queues"]["paused"]["paused"] is True
    assert found["queues"]["draining"]["draining"] is True


async def test_only_the_queues_that_were_named(site: Site) -> None:
    await site.dispatch("Greet", "x", queue="emails")
    await site.dispatch("Greet", "x", queue="reports")
    with running("work", "--id=worker-1", "--queues=reports", cwd=site.directory) as worker:
        worker.await_line("jobs: ")
        found = json.loads(run("status", "--queues=emails", "--json", cwd=site.directory).out)
    assert list(found["queues"]) == ["emails"]
    assert found["workers"] == []


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    (tmp_path / "heracles.db").touch()
    with subprocess.Popen(
        [*COMMAND, "status"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(LONGEST_S) == 0
