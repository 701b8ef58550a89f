"""On which store a worker serves a queue."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heracles.errors import ConfigurationError, JobRegistrationError, OptionError
from heracles.job import Job
from heracles.queue import Queue
from heracles.redis import Redis, RedisTransport
from heracles.sqlite import SqliteTransport
from heracles.wiring import use_by_default
from heracles.worker import RedisWorker, SqliteWorker, Worker
from heracles.worker.source import Source, settings_given

NAMES = ("declared", "bare", "broken_queue")


@pytest.fixture(autouse=True)
def _registries() -> Iterator[None]:
    Redis.register_connection("source_a", url="redis://localhost:1/0")
    Redis.register_connection("source_b", url="redis://localhost:2/0")
    yield
    for name in NAMES:
        Queue.remove(name)
    use_by_default(None)


def declare(**options: Any) -> RedisTransport:
    Queue.get("declared", transport=RedisTransport, transport_options={"connection": "source_a", **options})
    found = Queue.get("declared").declared_transport
    assert isinstance(found, RedisTransport)
    return found


def redis_source(connection: str, **options: Any) -> Source:
    return RedisWorker(connection, id="w", **options)._source


def test_without_a_word_each_queue_is_where_the_program_says(tmp_path: Path) -> None:
    default = SqliteTransport(tmp_path / "default.db")
    use_by_default(default)
    declared = declare(key_prefix="mine")
    source = Worker(id="w")._source
    assert source.transport_of("declared") is declared
    assert source.transport_of("bare") is default


def test_what_the_worker_leaves_out_is_as_declared() -> None:
    declared = declare(key_prefix="mine", lease=5000)
    found = redis_source("source_a", poll_interval=70).transport_of("declared")
    assert found.identity == declared.identity
    assert (found.settings.lease_ms, found.settings.poll_interval_ms) == (5000, 70)


def test_the_workers_own_options_win() -> None:
    declare(lease=5000)
    assert redis_source("source_a", lease=900).transport_of("declared").settings.lease_ms == 900


@pytest.mark.parametrize(
    ("connection", "options"), [("source_b", {}), ("source_a", {"key_prefix": "other"}), ("source_b", {"lease": 900})]
)
async def test_a_conflict_is_an_error_when_the_queue_is_created(connection: str, options: dict[str, Any]) -> None:
    declare(key_prefix="mine")
    worker = RedisWorker(connection, id="w", **options)
    with pytest.raises(OptionError, match="'declared' is declared on"):
        await worker.create_queue(name="declared")
    await worker.create_queue("bare")


async def test_another_kind_of_store_is_a_conflict(tmp_path: Path) -> None:
    declare()
    with pytest.raises(OptionError, match="declared on"):
        await SqliteWorker(tmp_path / "jobs.db", id="w").create_queue(name="declared")
    with pytest.raises(OptionError, match="declared on"):
        await Worker(id="w", transport=SqliteTransport(tmp_path / "jobs.db")).create_queue(name="declared")


async def test_a_conflict_that_comes_after_is_found_at_the_start(tmp_path: Path) -> None:
    worker = SqliteWorker(tmp_path / "jobs.db", id="w")
    await worker.create_queue(name="declared")
    declare()
    with pytest.raises(OptionError, match="declared on"):
        await worker.start()


def test_an_instance_on_the_same_store_is_no_conflict() -> None:
    declare(key_prefix="mine")
    mine = RedisTransport(connection="source_a", key_prefix="mine", lease=900)
    assert Worker(id="w", transport=mine)._source.transport_of("declared") is mine


def test_an_instance_in_memory_is_shared_only_as_itself() -> None:
    memory = SqliteTransport(":memory:")
    Queue.get("declared", transport=memory)
    assert Worker(id="w")._source.transport_of("declared") is memory
    assert Worker(id="w", transport=memory)._source.transport_of("declared") is memory
    with pytest.raises(OptionError):
        Worker(id="w", transport=SqliteTransport(":memory:"))._source.transport_of("declared")


async def test_a_connection_may_be_registered_until_the_start() -> None:
    worker = RedisWorker("source_unknown", id="w")
    await worker.create_queue("bare")
    with pytest.raises(ConfigurationError, match="source_unknown"):
        await worker.start()


@pytest.mark.parametrize("options", [{"lease": 1}, {"no_such": 1}, {"path": "x"}])
def test_options_are_checked_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        RedisWorker("source_a", id="w", **options)


@pytest.mark.parametrize("options", [{"id": "a b"}, {"concurrency": 0}, {"shutdown_timeout": -1}])
def test_a_workers_own_options_are_checked_too(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Worker(**options)


def test_settings_are_those_given_to_the_queue() -> None:
    assert settings_given("bare") == {}
    assert not Queue.exists("bare")
    Queue.get("bare", concurrency=7, retry_delay=70)
    assert settings_given("bare") == {"concurrency": 7, "retry_delay": 70}


async def test_queues_on_several_stores_are_served_by_one_worker(tmp_path: Path) -> None:
    one, other = SqliteTransport(tmp_path / "one.db"), SqliteTransport(tmp_path / "other.db")
    Queue.get("declared", transport=one)
    use_by_default(other)
    async with Worker(id="both") as worker:
        await worker.create_queue(name="declared")
        await worker.create_queue("bare")
        assert [[info.id for info in await store.workers()] for store in (one, other)] == [["both"], ["both"]]
    assert [await store.workers() for store in (one, other)] == [(), ()]
    await one.close()
    await other.close()


async def test_a_job_that_cannot_be_decoded_is_told_at_the_start(tmp_path: Path) -> None:
    @Job.register(queue="broken_queue")
    class BrokenForWorker(Job):
        def __init__(self, what: "no_such_name") -> None:  # type: ignore[name-defined]  # noqa: F821 - the point
            self.what = what

        async def execute(self) -> None:
            pass

    worker = SqliteWorker(tmp_path / "jobs.db", id="w")
    await worker.create_queue("bare")
    async with worker:
        with pytest.raises(JobRegistrationError, match="what"):
            await worker.create_queue(name="broken_queue")
        assert worker.queues == ("bare",)


async def test_a_queue_that_its_own_program_uses_elsewhere_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use_by_default(SqliteTransport(tmp_path / "default.db"))
    async with SqliteWorker(tmp_path / "other.db", id="w") as worker:
        await worker.create_queue("bare")
        assert not caplog.records
        assert await Queue.get("bare").jobs() == []
        assert "default.db, but its own worker serves it on" in caplog.text
    caplog.clear()
    async with SqliteWorker(tmp_path / "other.db", id="w") as worker:
        await worker.create_queue("bare")
        assert "queue bare: this program uses it on" in caplog.text


async def test_of_a_worker_that_has_ended_and_a_queue_that_is_forgotten_nothing_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use_by_default(SqliteTransport(tmp_path / "default.db"))
    assert await Queue.get("bare").jobs() == []
    Queue.remove("bare")
    async with SqliteWorker(tmp_path / "other.db", id="w") as worker:
        await worker.create_queue("bare")
    assert await Queue.get("bare").jobs() == []
    assert not caplog.records
