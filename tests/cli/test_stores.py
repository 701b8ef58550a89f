"""Which store a command works on, and what it says of one that it cannot use."""

import signal
import socket
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # no stubs are installed
import pytest

from heracles.cli.store import how_to_reach
from heracles.errors import TransportUnavailableError
from heracles.model import JobStatus
from heracles.wiring import transport_from_url
from tests.cli.conftest import Site
from tests.cli.process import run, running
from tests.servers import Server, free_port, redis_7
from tests.waiting import eventually

REGISTERS = """
from heracles import Queue, Redis, RedisTransport
Redis.register_connection("main", url={url!r})
"""
DECLARES = """
Queue.get("emails", transport=RedisTransport, transport_options={{"connection": "main", "key_prefix": {prefix!r}}})
"""


def write_jobs(directory: Path, url: str, prefix: str | None = None) -> None:
    """An app that registers a connection, and declares a queue on it where a prefix is given."""
    (directory / "jobs.py").write_text(
        REGISTERS.format(url=url) + (DECLARES.format(prefix=prefix) if prefix is not None else "")
    )


@pytest.mark.parametrize("where", ["redis://nowhere:6379", "no Sentinel names a master: Sentinel nowhere:26379"])
def test_a_host_that_is_not_known_is_not_one_to_be_started(where: str) -> None:
    with pytest.raises(socket.gaierror) as unknown:
        # As the resolver says it on this system, without asking any.
        socket.getaddrinfo("nowhere", 6379, flags=socket.AI_NUMERICHOST)
    away = TransportUnavailableError(f"{where}: cannot connect: {unknown.value.strerror}")
    assert how_to_reach(away) == "check the host name"
    assert how_to_reach(TransportUnavailableError(f"{where}: cannot connect: Connection refused")) == "start the store"


def test_a_worker_says_how_to_reach_its_store(site: Site) -> None:
    ended = run("work", "--id=a", f"--url=redis://127.0.0.1:{free_port()}", cwd=site.directory)
    assert ended.code == 1
    assert ended.error.endswith(": start the store, or give --wait-for-store")


@pytest.mark.parametrize("command", [("work", "--id=a"), ("status",), ("cleanup",)])
class TestEveryCommand:
    """What all of them say in one line."""

    def test_unknown_connection(self, command: tuple[str, ...], site: Site) -> None:
        ended = run(*command, "--redis=nowhere", cwd=site.directory)
        assert ended.code == 2
        assert "'nowhere'" in ended.error
        assert "HERACLES_REDIS_NOWHERE_URL" in ended.error

    @pytest.mark.parametrize("processes", ["", "--processes=2"])
    def test_unreachable_store(self, command: tuple[str, ...], processes: str, site: Site) -> None:
        more = [processes] if processes and command[0] == "work" else []
        url = f"redis://user:secret@127.0.0.1:{free_port()}"
        ended = run(*command, f"--url={url}", *more, cwd=site.directory)
        assert ended.code == 1
        assert "127.0.0.1" in ended.error
        assert "secret" not in ended.error

    def test_url_that_cannot_be_used(self, command: tuple[str, ...], site: Site) -> None:
        for url in ("postgres://u:secret@host", "redis://u:secret@host:port", "sqlite://file.db"):
            ended = run(*command, f"--url={url}", cwd=site.directory)
            assert ended.code == 2
            assert "--url: cannot" in ended.error or "three slashes" in ended.error
            assert "secret" not in ended.error

    def test_variable_that_cannot_be_used(self, command: tuple[str, ...], site: Site) -> None:
        ended = run(*command, cwd=site.directory, env={"HERACLES_URL": "mysql://u:secret@host"})
        assert ended.code == 2
        assert "HERACLES_URL" in ended.error
        assert "secret" not in ended.error

    def test_two_stores(self, command: tuple[str, ...], site: Site) -> None:
        ended = run(*command, "--redis=default", "--url=sqlite:///a.db", cwd=site.directory)
        assert ended.code == 2
        assert "--url and --redis name two stores" in ended.error

    def test_key_prefix_beside_sqlite(self, command: tuple[str, ...], site: Site) -> None:
        ended = run(*command, "--key-prefix=myapp", cwd=site.directory)
        assert ended.code == 2
        assert "--key-prefix is for Redis" in ended.error

    def test_store_that_is_no_store(self, command: tuple[str, ...], site: Site) -> None:
        (site.directory / "text.db").write_text("this is no database, but it is long enough to be taken for one" * 20)
        ended = run(*command, "--url=sqlite:///text.db", cwd=site.directory)
        assert ended.code == 1
        assert "text.db" in ended.error

    def test_wrong_password(self, command: tuple[str, ...], site: Site) -> None:
        server = Server(redis_7(), {"requirepass": "right"}, password="right").start()
        try:
            ended = run(*command, f"--url=redis://:wrong@127.0.0.1:{server.port}", cwd=site.directory)
        finally:
            server.stop()
        assert ended.code == 1
        assert "wrong@" not in ended.error

    def test_queue_declared_elsewhere(self, command: tuple[str, ...], site: Site, server: Server) -> None:
        write_jobs(site.directory, server.url, prefix="declared")
        ended = run(*command, "--queues=emails", "--key-prefix=given", cwd=site.directory)
        assert ended.code == 2
        assert "'emails' is declared on" in ended.error
        assert "declared" in ended.error
        assert "given" in ended.error


async def serves(site: Site, server: Server, prefix: str, *flags: str, queue: str = "default") -> None:
    """Assert that a worker with these flags takes jobs from that prefix."""
    transport = transport_from_url(server.url, key_prefix=prefix)
    try:
        with running("work", "--id=a", f"--queues={queue}", *flags, cwd=site.directory) as worker:
            worker.await_line("jobs: ")
            assert server.url in worker.log
            at = Site(site.directory, transport)
            # Of a class that the app does not know, which the worker has to take to find out.
            await at.dispatch("Unknown", queue=queue)

            async def is_served() -> bool:
                return "Unknown" in worker.log

            await eventually(is_served)
            worker.signal(signal.SIGTERM)
            assert worker.end() == 0
    finally:
        await transport.close()


async def test_the_app_is_imported_before_its_connection_is_looked_up(site: Site, server: Server) -> None:
    write_jobs(site.directory, server.url)
    await serves(site, server, "elysium:heracles", "--redis=main")


async def test_a_url_with_a_prefix(site: Site, server: Server) -> None:
    await serves(site, server, "mine", f"--url={server.url}", "--keyprefix=mine")


async def test_a_worker_takes_the_store_that_its_queue_declares(site: Site, server: Server) -> None:
    write_jobs(site.directory, server.url, prefix="declared")
    await serves(site, server, "declared", queue="emails")


async def test_a_connection_that_agrees_with_the_declaration_keeps_its_prefix(site: Site, server: Server) -> None:
    write_jobs(site.directory, server.url, prefix="declared")
    await serves(site, server, "declared", "--redis=main", "--lease=5000", queue="emails")


async def test_a_prefix_alone_goes_with_the_connection_of_the_declaration(site: Site, server: Server) -> None:
    write_jobs(site.directory, server.url, prefix="declared")
    await serves(site, server, "declared", "--key-prefix=declared", queue="emails")


def test_queues_on_different_stores_need_a_name(site: Site, server: Server) -> None:
    write_jobs(site.directory, server.url, prefix="one")
    with (site.directory / "jobs.py").open("a") as app:
        app.write('Queue.get("reports", transport=RedisTransport, transport_options={"connection": "main"})\n')
    ended = run("status", cwd=site.directory)
    assert ended.code == 2
    assert "different stores" in ended.error
    assert "emails" in run("status", "--queues=emails", cwd=site.directory).out


async def test_waiting_for_a_store_that_comes_later(site: Site) -> None:
    server = Server(redis_7()).start()
    server.kill()
    flags = (f"--url={server.url}", "--wait-for-store")
    try:
        with running("work", "--id=a", *flags, cwd=site.directory) as worker:
            worker.await_line("waiting for the store")
            server.start()
            transport = transport_from_url(server.url)
            at = Site(site.directory, transport)
            record = await at.ends(await at.dispatch("Greet", "late"))
            assert record.status is JobStatus.COMPLETED
            await transport.close()
    finally:
        server.stop()


async def test_no_password_in_log_or_process_list(site: Site) -> None:
    server = Server(redis_7(), {"requirepass": "secret"}, password="secret").start()
    url = f"redis://:secret@127.0.0.1:{server.port}"
    try:
        with running("work", "--id=a", "--processes=2", f"--url={url}", cwd=site.directory) as pool:
            pool.await_line("worker a.2, pid")
            pool.await_line("worker a.1, pid")
            children = psutil.Process(pool.process.pid).children()
            assert len(children) == 2
            assert not [child for child in children if "secret" in " ".join(child.cmdline())]
            pool.signal(signal.SIGTERM)
            assert pool.end() == 0
            assert "secret" not in pool.log
    finally:
        server.stop()
