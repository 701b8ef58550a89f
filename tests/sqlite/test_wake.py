"""Who is woken by what, within a process and between processes."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from heracles.model import Signal, SignalKind
from heracles.sqlite.bell import SocketBell, folder_of
from heracles.sqlite.turn import Hints
from heracles.sqlite.wake import CANCEL, CHANGE, WORK, Hub, Message, Silence
from tests.waiting import eventually_sync


class Ear:
    def __init__(self, consumer: str, *queues: str) -> None:
        self.consumer = consumer
        self.queues = queues or ("q",)
        self.wanted = True
        self.heard: list[Signal] = []

    def wants(self, queue: str) -> bool:
        return self.wanted and queue in self.queues

    def hear(self, signal: Signal) -> bool:
        self.heard.append(signal)
        return True


def _joined(hub: Hub, *ears: Ear) -> None:
    for ear in ears:
        hub.join(ear)


@pytest.fixture
def hub() -> Hub:
    return Hub(Silence())


def _heard(*ears: Ear) -> int:
    return sum(len(ear.heard) for ear in ears)


def test_one_job_wakes_one_of_many(hub: Hub) -> None:
    ears = [Ear(f"c{number}") for number in range(50)]
    _joined(hub, *ears, Ear("other", "other"))
    hub.tell(Hints(queue="q", ready=1))
    assert _heard(*ears) == 1


def test_a_batch_wakes_few_of_many(hub: Hub) -> None:
    ears = [Ear(f"c{number}") for number in range(50)]
    _joined(hub, *ears)
    hub.tell(Hints(queue="q", ready=250))
    assert 1 < _heard(*ears) <= 5


def test_a_worker_that_filled_up_wakes_the_next(hub: Hub) -> None:
    first, second = Ear("first"), Ear("second")
    _joined(hub, first, second)
    hub.looking("q", "first")
    hub.filled("q", "first", more=True)
    assert (first.heard, _heard(second)) == ([], 1)
    hub.looking("q", "second")
    hub.filled("q", "second", more=False)
    assert _heard(first, second) == 1


def test_a_hint_that_came_while_a_worker_filled_up_goes_to_another(hub: Hub) -> None:
    busy, free = Ear("busy"), Ear("free")
    _joined(hub, busy)
    hub.looking("q", "busy")
    hub.tell(Hints(queue="q", ready=1))
    assert _heard(busy) == 1
    _joined(hub, free)
    hub.filled("q", "busy", more=False)
    assert _heard(free) == 1


def test_one_that_wants_nothing_is_not_woken(hub: Hub) -> None:
    unwilling = Ear("unwilling")
    unwilling.wanted = False
    _joined(hub, unwilling)
    hub.tell(Hints(queue="q", ready=3))
    assert unwilling.heard == []


def test_a_resumed_queue_wakes_all(hub: Hub) -> None:
    ears = [Ear(f"c{number}") for number in range(5)]
    _joined(hub, *ears)
    hub.tell(Hints(queue="q", opened=True))
    assert [len(ear.heard) for ear in ears] == [1] * 5


def test_a_cancel_reaches_its_worker_alone(hub: Hub) -> None:
    mine, other = Ear("mine"), Ear("other")
    mine.wanted = False
    _joined(hub, mine, other)
    hub.tell(Hints(queue="q", cancelled=(("d", "mine"),)))
    assert mine.heard == [Signal(kind=SignalKind.CANCEL, queue="q", dispatch_id="d")]
    assert other.heard == []


def test_what_becomes_due_wakes_at_once_to_tell_and_then(hub: Hub) -> None:
    ear = Ear("c")
    _joined(hub, ear)
    hub.tell(Hints(queue="q", due_in_ms=60_000))
    hub.tell(Hints(queue="q", due_in_ms=30))
    assert _heard(ear) == 2
    hub.tell(Hints(queue="q", due_in_ms=70_000))
    eventually_sync(lambda: hub.ring_due() is None)
    assert _heard(ear) == 3


def test_one_that_stops_hands_its_hint_on(hub: Hub) -> None:
    first, second = Ear("first"), Ear("second")
    _joined(hub, first)
    hub.tell(Hints(queue="q", ready=1))
    _joined(hub, second)
    hub.part(first)
    assert _heard(second) == 1
    hub.tell(Hints(queue="q", ready=1))
    assert (_heard(first), _heard(second)) == (1, 2)


# ---- between processes


@pytest.fixture
def bells(path: Path) -> Iterator[tuple[SocketBell, SocketBell]]:
    first, second = SocketBell(str(path)), SocketBell(str(path))
    yield first, second
    first.close()
    second.close()
    assert not folder_of(str(path)).exists()


def test_messages_reach_those_who_want_them(bells: tuple[SocketBell, SocketBell]) -> None:
    sender, receiver = bells
    received: list[Message] = []
    receiver.answer(received.append)
    assert sender.names(WORK, "q") == ()
    receiver.advertise(WORK, "q")
    assert sender.names(WORK, "q") == (receiver.name,)
    assert receiver.names(WORK, "q") == ()
    assert (sender.names(CHANGE, "q"), sender.names(WORK, "other")) == ((), ())
    sent = Message(CANCEL, "q", "dispatch", "consumer", ("a", "b"))
    assert sender.send(receiver.name, sent)
    eventually_sync(lambda: received == [sent])
    receiver.withdraw(WORK, "q")
    assert sender.names(WORK, "q") == ()


def test_the_folder_is_private(bells: tuple[SocketBell, SocketBell], path: Path) -> None:
    bells[0].advertise(WORK, "q")
    for folder in (folder_of(str(path)), folder_of(str(path)).parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_one_that_is_gone_is_removed(bells: tuple[SocketBell, SocketBell], path: Path) -> None:
    sender, _ = bells
    folder = folder_of(str(path))
    folder.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
        gone.bind(str(folder / "gone"))
    receiver = bells[1]
    receiver.advertise(WORK, "q")
    (link,) = [name for name in os.listdir(folder) if name.endswith(receiver.name) and "." in name]
    (folder / link.replace(receiver.name, "gone")).symlink_to("gone")
    os.utime(folder)
    assert set(sender.names(WORK, "q")) == {"gone", receiver.name}
    assert not sender.send("gone", Message(WORK, "q"))
    assert sender.names(WORK, "q") == (receiver.name,)
    assert not (folder / "gone").exists()


def test_one_that_reads_nothing_holds_nobody_up(bells: tuple[SocketBell, SocketBell], path: Path) -> None:
    folder = folder_of(str(path))
    folder.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(folder / "deaf"))
        assert all(bells[0].send("deaf", Message(WORK, "q")) for _ in range(2000))
    (folder / "deaf").unlink()
    folder.rmdir()


def test_garbage_is_ignored(bells: tuple[SocketBell, SocketBell], path: Path) -> None:
    received: list[Message] = []
    bells[1].answer(received.append)
    bells[1].advertise(WORK, "q")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        for body in (b"\xff\x00", b"[]", b'["w"]', b"{}" * 100):
            other.sendto(body, str(folder_of(str(path)) / bells[1].name))
    assert bells[0].send(bells[1].name, Message(WORK, "q"))
    eventually_sync(lambda: received == [Message(WORK, "q")])


def test_a_folder_that_others_may_use_is_not_used(
    bells: tuple[SocketBell, SocketBell], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_of(str(path))
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    bells[1].advertise(WORK, "q")
    assert "not a private folder" in caplog.text
    assert bells[0].names(WORK, "q") == ()
    bells[1].withdraw(WORK, "q")
    folder.rmdir()


def test_what_was_cleaned_away_is_put_back(
    bells: tuple[SocketBell, SocketBell], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, receiver = bells
    received: list[Message] = []
    receiver.answer(received.append)
    receiver.advertise(WORK, "q")
    folder = folder_of(str(path))
    for name in os.listdir(folder):
        (folder / name).unlink()
    folder.rmdir()
    monkeypatch.setattr("heracles.sqlite.bell._RENEWAL_S", 0.0)
    receiver.renew()
    assert sender.names(WORK, "q") == (receiver.name,)
    assert sender.send(receiver.name, Message(WORK, "q"))
    eventually_sync(lambda: bool(received))
