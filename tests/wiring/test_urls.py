"""Which URL means which store."""

from pathlib import Path

import pytest

from heracles.errors import ConfigurationError, OptionError
from heracles.sqlite import SqliteTransport
from heracles.wiring import build_transport, transport_from_url


def test_a_relative_path_is_in_the_working_directory(tmp_path: Path) -> None:
    assert str(tmp_path / "relative.db") in transport_from_url("sqlite:///relative.db").identity


def test_an_absolute_path(tmp_path: Path) -> None:
    assert str(tmp_path / "a b.db") in transport_from_url(f"sqlite:///{tmp_path}/a%20b.db").identity


def test_memory() -> None:
    assert ":memory:" in transport_from_url("sqlite:///:memory:").identity


@pytest.mark.parametrize("url", ["redis://localhost:1/2", "rediss://localhost:1", "unix:///tmp/redis.sock"])
def test_redis_urls_connect_to_nothing_yet(url: str) -> None:
    assert type(transport_from_url(url)).__name__ == "RedisTransport"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://relative.db", "three slashes"),
        ("sqlite:relative.db", "sqlite:///"),
        ("sqlite:///", "ends with the name of a file"),
        ("sqlite:////tmp/", "ends with the name of a file"),
        ("sqlite:///a.db?x=1", "ends with the name of a file"),
        ("postgres://u:secret@host/db", "begins with 'postgres'"),
        ("jobs.db", "give one of sqlite:///"),
        ("", "give one of sqlite:///"),
    ],
)
def test_a_url_that_cannot_be_used_names_the_way_out(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        transport_from_url(url)
    assert "secret" not in str(caught.value)


def test_equal_stores_with_equal_options_are_one_transport(tmp_path: Path) -> None:
    first = transport_from_url("sqlite:///a.db", lease=1000)
    assert transport_from_url(f"sqlite:///{tmp_path}/a.db", lease=1000) is first
    assert transport_from_url("sqlite:///a.db") is not first
    assert transport_from_url("sqlite:///b.db", lease=1000) is not first


def test_a_relative_path_after_a_change_of_directory_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = transport_from_url("sqlite:///a.db")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert transport_from_url("sqlite:///a.db") is not first


def test_options_reach_the_transport_and_are_checked() -> None:
    assert transport_from_url("sqlite:///a.db", lease=1000).settings.lease_ms == 1000
    with pytest.raises(OptionError, match="lease"):
        transport_from_url("sqlite:///a.db", lease="long")
    with pytest.raises(OptionError, match="key_prefix"):
        transport_from_url("sqlite:///a.db", key_prefix="x")


def test_build_from_a_class_an_instance_or_nothing(tmp_path: Path) -> None:
    made = build_transport(SqliteTransport, {"path": str(tmp_path / "a.db")})
    assert build_transport(SqliteTransport, {"path": str(tmp_path / "a.db")}) is made
    assert build_transport(made, None) is made
    assert str(tmp_path / "heracles.db") in build_transport(None, None).identity
    with pytest.raises(OptionError, match="transport class"):
        build_transport(made, {"lease": 1000})
