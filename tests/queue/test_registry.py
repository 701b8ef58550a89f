"""``Queue.get`` and what may be given to it, when."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from heracles import OptionError, Queue
from heracles.sqlite import SqliteTransport
from heracles.transport import Transport
from tests.queue.jobs import Letter


def test_one_name_is_one_queue() -> None:
    queue = Queue.get("registry")
    assert Queue.get("registry") is queue
    assert Queue.exists("registry")
    assert Queue.get_all()["registry"] is queue
    assert (queue.name, repr(queue)) == ("registry", "Queue('registry')")


def test_a_removed_queue_is_another_one_next_time() -> None:
    queue = Queue.get("registry", concurrency=3)
    assert Queue.remove("registry")
    assert not Queue.remove("registry")
    assert not Queue.exists("registry")
    assert Queue.get("registry") is not queue
    assert Queue.get("registry").settings_given == {}


def test_options_are_kept_as_checked() -> None:
    queue = Queue.get(
        "registry", concurrency=4, max_retries=0, retry_delay=timedelta(seconds=1.5), pause_on_error=False
    )
    assert queue.settings_given == {"concurrency": 4, "max_retries": 0, "retry_delay": 1500, "pause_on_error": False}


def test_options_may_come_after_bare_gets() -> None:
    queue = Queue.get("registry")
    assert Queue.get("registry", concurrency=2) is queue
    assert Queue.get("registry").settings_given == {"concurrency": 2}


def test_the_same_options_may_be_given_again(memory: Transport) -> None:
    for _ in range(2):
        Queue.get("registry", concurrency=2, transport=memory)


@pytest.mark.parametrize(
    "second",
    [{"concurrency": 3}, {"max_retries": 1}, {"concurrency": 2, "max_retries": 1}, {"transport": SqliteTransport}],
)
def test_other_options_after_options_are_an_error(second: dict[str, Any]) -> None:
    Queue.get("registry", concurrency=2)
    with pytest.raises(OptionError, match="'registry' was given other options"):
        Queue.get("registry", **second)
    assert Queue.get("registry").settings_given == {"concurrency": 2}


async def test_options_after_the_first_use_are_an_error(
    memory: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HERACLES_URL", f"sqlite:////{tmp_path}/jobs.db")
    queue = Queue.get("registry")
    await queue.dispatch(Letter("a"))
    with pytest.raises(OptionError, match=r"in use, on .*jobs\.db"):
        Queue.get("registry", concurrency=2)
    with pytest.raises(OptionError, match="in use"):
        Queue.get("registry", transport=memory)
    assert Queue.get("registry") is queue
    await queue.transport.close()


async def test_the_same_options_after_the_first_use_are_none(memory: Transport) -> None:
    queue = Queue.get("registry", concurrency=2, transport=memory)
    await queue.dispatch(Letter("a"))
    assert Queue.get("registry", concurrency=2, transport=memory) is queue


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a{b}", "é", "a/b", "x" * 129, None, 3, "a\n"])
def test_a_wrong_name_is_refused(name: Any) -> None:
    with pytest.raises(OptionError, match="queue name"):
        Queue.get(name)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": "4"}, "concurrency"),
        ({"max_retries": 1.5}, "max_retries"),
        ({"retry_delay": -1}, "retry_delay"),
        ({"pause_on_error": 1}, "pause_on_error"),
        ({"transport": SqliteTransport, "transport_options": {"lease": 1}}, "lease"),
        ({"transport": SqliteTransport, "transport_options": {"leash": 1}}, "leash"),
    ],
)
def test_a_wrong_option_is_named_and_leaves_no_queue(options: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        Queue.get("registry", **options)
    assert not Queue.exists("registry")


def test_options_beside_an_instance_are_an_error(memory: Transport) -> None:
    with pytest.raises(OptionError, match="transport_options"):
        Queue.get("registry", transport=memory, transport_options={"lease": 1000})


def test_a_declared_transport_is_told_apart_from_the_default(
    memory: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HERACLES_URL", f"sqlite:////{tmp_path}/jobs.db")
    assert Queue.get("declared", transport=memory).declared_transport is memory
    assert Queue.get("declared").transport is memory
    bare = Queue.get("bare")
    assert bare.declared_transport is None
    assert "jobs.db" in bare.transport.identity
    with_options = Queue.get("with-options", transport_options={"lease": 5000})
    assert with_options.declared_transport is with_options.transport
    assert with_options.transport.settings.lease_ms == 5000


def test_queues_of_one_class_and_options_share_a_transport(tmp_path: Path) -> None:
    options = {"path": str(tmp_path / "jobs.db")}
    first = Queue.get("first", transport=SqliteTransport, transport_options=options)
    second = Queue.get("second", transport=SqliteTransport, transport_options=dict(options))
    assert first.transport is second.transport


def test_the_environment_is_read_at_the_first_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HERACLES_URL", f"sqlite:////{tmp_path}/early.db")
    queue = Queue.get("registry")
    monkeypatch.setenv("HERACLES_URL", f"sqlite:////{tmp_path}/late.db")
    assert "late.db" in queue.transport.identity
