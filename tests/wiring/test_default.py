"""Which store is used where none is named."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heracles.errors import ConfigurationError, OptionError
from heracles.redis import Redis, RedisTransport
from heracles.sqlite import SqliteTransport
from heracles.wiring import build_transport, default_transport, overlaid, transport_from_url, use_by_default


@pytest.fixture
def registered() -> Iterator[None]:
    """A connection "default", registered in code."""
    Redis.register_connection("default", url="redis://registered:1")
    yield
    Redis._registered.pop("default", None)


def test_a_file_in_the_working_directory_when_nothing_is_configured(tmp_path: Path) -> None:
    assert default_transport().identity == f"sqlite:///{tmp_path}/heracles.db"


@pytest.mark.usefixtures("registered")
def test_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERACLES_URL", "sqlite:///named.db")
    monkeypatch.setenv("HERACLES_REDIS_URL", "redis://heracles:1")
    monkeypatch.setenv("REDIS_URL", "redis://plain:1")
    assert "named.db" in default_transport().identity
    monkeypatch.delenv("HERACLES_URL")
    assert "registered:1" in default_transport().identity
    Redis._registered.pop("default")
    assert "heracles:1" in default_transport().identity
    monkeypatch.delenv("HERACLES_REDIS_URL")
    assert "plain:1" in default_transport().identity
    monkeypatch.delenv("REDIS_URL")
    assert "heracles.db" in default_transport().identity


def test_the_variable_of_the_connections_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERACLES_REDIS_DEFAULT_URL", "redis://own:1")
    monkeypatch.setenv("REDIS_URL", "redis://plain:1")
    assert "own:1" in default_transport().identity


def test_the_environment_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(default_transport(), SqliteTransport)
    monkeypatch.setenv("REDIS_URL", "redis://plain:1")
    assert isinstance(default_transport(), RedisTransport)


def test_one_transport_for_all_who_ask_the_same() -> None:
    assert default_transport() is default_transport()
    assert default_transport({"lease": 1000}) is default_transport({"lease": 1000})
    assert default_transport({"lease": 1000}).settings.lease_ms == 1000


@pytest.mark.parametrize("variable", ["HERACLES_URL", "HERACLES_REDIS_URL", "REDIS_URL"])
def test_a_variable_that_cannot_be_used_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "mysql://user:secret@host")
    with pytest.raises(ConfigurationError, match=variable) as caught:
        default_transport()
    assert "secret" not in str(caught.value)


def test_the_first_use_is_logged_once_without_the_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@plain:1")
    with caplog.at_level(logging.INFO, logger="heracles"):
        default_transport()
        default_transport({"lease": 1000})
        default_transport()
    assert len(caplog.messages) == 1
    assert "redis://plain:1" in caplog.text
    assert "REDIS_URL" in caplog.text
    assert "secret" not in caplog.text


def test_a_worker_may_put_its_own_store_in_place() -> None:
    own = transport_from_url("sqlite:///own.db")
    use_by_default(own)
    assert default_transport() is own
    assert default_transport({"lease": 1000}).identity == own.identity
    use_by_default(None)
    assert default_transport() is not own


def test_overlaid_keeps_the_other_options(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = RedisTransport(connection="main", key_prefix="a", max_stream_size=7)
    Redis.register_connection("main", url="redis://main:1")
    made = overlaid(declared, {"lease": 1000})
    assert made.identity == declared.identity
    assert (made.settings.lease_ms, made.settings.max_stream_size) == (1000, 7)
    assert overlaid(declared, {}) is declared
    with pytest.raises(OptionError, match="path"):
        overlaid(declared, {"path": "x"})


def test_a_program_on_sqlite_never_imports_the_redis_client() -> None:
    code = (
        "import sys; from heracles.wiring import default_transport; default_transport(); "
        "sys.exit('redis' in sys.modules or 'heracles.redis' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_connection_that_is_named_default_may_come_from_any_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://plain:1")
    monkeypatch.setenv("HERACLES_URL", "sqlite:///file.db")
    assert "plain:1" in RedisTransport(key_prefix="mine").identity
    monkeypatch.setenv("HERACLES_URL", "redis://heracles:1")
    assert "heracles:1" in RedisTransport(key_prefix="mine").identity


def test_what_is_no_transport_is_refused_at_once() -> None:
    with pytest.raises(OptionError, match="'redis' is no transport: give RedisTransport"):
        build_transport("redis", None)  # type: ignore[arg-type]  # the mistake that is tested
