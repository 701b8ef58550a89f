"""``heracles jobs``, ``retry`` and ``cancel``: what an operator looks for and does about it."""

import json
from pathlib import Path

import pytest

from heracles.model import Delivery, JobStatus, Report, ReportKind, Session
from heracles.transport import Transport
from heracles.wiring import transport_from_url
from tests.cli.conftest import Site
from tests.cli.process import Ended, run
from tests.servers import Server

SESSION = Session(worker_id="worker-1", consumer="w")


async def start(transport: Transport, queue: str = "default", count: int = 1) -> list[Delivery]:
    """That many of its jobs run."""
    return list((await transport.exchange(queue, SESSION, [], count)).started)


async def fail(transport: Transport, delivery: Delivery, error: str, queue: str = "default") -> None:
    """It ends FAILED."""
    report = Report(
        job_id=delivery.envelope.job_id,
        dispatch_id=delivery.envelope.dispatch_id,
        token=delivery.token,
        receipt=delivery.receipt,
        name=delivery.envelope.name,
        kind=ReportKind.FAILED,
        error=error,
        traceback="Traceback: …",
    )
    await transport.exchange(queue, SESSION, [report], 0)


async def failed(site: Site, error: str = "ValueError: no", queue: str = "default") -> str:
    """The dispatch id of a job that has FAILED."""
    dispatch_id = await site.dispatch("Greet", "x", queue=queue)
    (delivery,) = await start(site.transport, queue)
    await fail(site.transport, delivery, error, queue)
    return dispatch_id


def shown(ended: Ended) -> list[list[str]]:
    """The rows of the table."""
    assert ended.code == 0, ended.err
    return [line.split() for line in ended.out.splitlines()[3:]]


async def test_the_newest_jobs_of_all_queues(site: Site) -> None:
    first = await failed(site, "ValueError: no\x1b[31m" + "x" * 200)
    second = await site.dispatch("Greet", "y", queue="other")
    ended = run("jobs", cwd=site.directory)
    assert (ended.code, ended.err) == (0, "")
    rows = shown(ended)
    assert [row[:4] for row in rows] == [
        [second, "Greet", "other", "pending"],
        [first, "Greet", "default", "failed"],
    ]
    assert r"\x1b[31m" in ended.out
    assert rows[1][-1].endswith("…")
    assert shown(run("jobs", "--limit=1", cwd=site.directory))[0][0] == second
    assert len(shown(run("jobs", "--limit=1", cwd=site.directory))) == 1


async def test_of_one_queue_with_one_status(site: Site) -> None:
    first = await failed(site)
    await failed(site, queue="other")
    await site.dispatch("Greet", "y")
    rows = shown(run("jobs", "--status=failed", "--queue=default", cwd=site.directory))
    assert [row[0] for row in rows] == [first]
    none = run("jobs", "--status=cancelled", "--queue=tpyo", cwd=site.directory)
    assert none.code == 0
    assert "no such jobs" in none.out
    assert none.err == "heracles: no queue named tpyo in this store; known: default, other\n"


async def test_as_json_with_arguments_and_traceback(site: Site) -> None:
    dispatch_id = await failed(site)
    found = json.loads(run("jobs", "--json", cwd=site.directory).out)
    assert found["store"] == site.transport.identity
    (info,) = found["jobs"]
    assert info["dispatchId"] == dispatch_id
    assert (info["name"], info["args"], info["kwargs"]) == ("Greet", ["x"], {})
    assert (info["status"], info["error"], info["worker"]) == ("failed", "ValueError: no", "worker-1")
    assert info["traceback"].startswith("Traceback")
    assert info["createdAt"].endswith("Z")


async def test_retry_dispatches_it_anew(site: Site) -> None:
    dispatch_id = await failed(site, queue="other")
    ended = run("retry", dispatch_id, "--queue=other", cwd=site.directory)
    assert (ended.code, ended.err) == (0, "")
    again = ended.out.strip()
    assert again != dispatch_id
    (delivery,) = await start(site.transport, "other")
    assert (delivery.envelope.dispatch_id, delivery.envelope.args) == (again, b'["x"]')


async def test_cancel_what_waits_and_what_runs(site: Site) -> None:
    runs, waits = await site.dispatch("Greet", "x"), await site.dispatch("Greet", "x")
    await start(site.transport)
    for dispatch_id in (runs, waits):
        ended = run("cancel", dispatch_id, cwd=site.directory)
        assert (ended.code, ended.out) == (0, f"{dispatch_id} is cancelled\n")
        assert await site.status(dispatch_id) is JobStatus.CANCELLED


async def test_what_cannot_be_done_is_one_line(site: Site) -> None:
    waiting, ended = await site.dispatch("Greet", "x"), await failed(site, queue="other")
    for arguments, says in (
        (("retry", "nobody"), "has no job 'nobody' with its arguments: give --queue and an id that heracles jobs"),
        (("retry", waiting), "is pending: only a failed or cancelled one"),
        (("cancel", "nobody"), "queue 'default' has no job 'nobody': give --queue"),
        (("cancel", ended, "--queue=other"), "is failed: only one that waits or runs"),
    ):
        refused = run(*arguments, cwd=site.directory)
        assert refused.code == 1
        assert says in refused.error
    await site.transport.gate("other", draining=True)
    refused = run("retry", ended, "--queue=other", cwd=site.directory)
    assert refused.code == 1
    assert "is draining" in refused.error


@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_no_store_yet(command: str, tmp_path: Path) -> None:
    ended = run(command, "some-id", cwd=tmp_path)
    assert ended.code == 1
    assert "no store yet at sqlite:///" in ended.error
    assert "no such jobs" in run("jobs", cwd=tmp_path).out
    assert not list(tmp_path.iterdir())


async def test_on_redis_with_a_prefix(site: Site, server: Server) -> None:
    transport = transport_from_url(server.url, key_prefix="myapp:jobs")
    dispatch_id = await failed(Site(site.directory, transport), queue="emails")
    store = ("--redis=default", "--keyprefix=myapp:jobs", "--queue=emails")
    env = {"HERACLES_REDIS_URL": server.url}
    assert shown(run("jobs", *store, cwd=site.directory, env=env))[0][0] == dispatch_id
    again = run("retry", dispatch_id, *store, cwd=site.directory, env=env).out.strip()
    assert run("cancel", again, *store, cwd=site.directory, env=env).code == 0
    record = await transport.find("emails", again)
    assert record is not None
    assert record.status is JobStatus.CANCELLED
    await transport.close()


async def test_a_queue_that_the_app_declares_elsewhere(site: Site) -> None:
    (site.directory / "jobs.py").write_text(
        "from heracles import Queue, SqliteTransport\n"
        "Queue.get('other', transport=SqliteTransport, transport_options={'path': 'declared.db'})\n"
    )
    refused = run("retry", "x", "--queue=other", "--url=sqlite:///heracles.db", cwd=site.directory)
    assert refused.code == 2
    assert "is declared on" in refused.error
    assert "declared.db" in run("retry", "x", "--queue=other", cwd=site.directory).error
