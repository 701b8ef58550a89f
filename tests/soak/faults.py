"""The faults: each does its harm to a field, or returns False where there is nothing to do it to now."""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping

import redis

from heracles.units import now_ms
from tests.history import Disturbed
from tests.history.events import CUT_OFF
from tests.proxy import Proxy
from tests.soak.failovers import FAILOVERS
from tests.soak.field import Fault, Field
from tests.soak.processes import WorkerProcess
from tests.soak.sites import RedisSite, SqliteSite

#: Shares of a lease: what a worker must survive, and what it cannot.
_SHORT, _LONG = (0.05, 0.35), (1.1, 2.5)


def _free_worker(field: Field) -> WorkerProcess | None:
    free = field.fleet.free()
    return field.rng.choice(free) if free else None


def _share_of_lease(field: Field, share: tuple[float, float]) -> float:
    return field.rng.uniform(*share) * field.lease_s


# ------------------------------------------------------------------------------------------------------- processes


def worker_kill(field: Field) -> bool:
    """SIGKILL."""
    if (worker := _free_worker(field)) is None:
        return False
    field.fleet.kill(worker)
    return True


def _freeze(field: Field, share: tuple[float, float]) -> bool:
    if (worker := _free_worker(field)) is None:
        return False
    since_ms = now_ms()
    thaw = field.fleet.freeze(worker)
    end = field.begin_outage(since_ms=since_ms) if field.site.is_held_up else None

    def go_on() -> None:
        thaw()
        if end is not None:
            end()

    field.later(_share_of_lease(field, share), go_on)
    return True


def worker_freeze(field: Field) -> bool:
    """SIGSTOP, and SIGCONT well within the lease: nothing runs twice."""
    return _freeze(field, _SHORT)


def worker_freeze_long(field: Field) -> bool:
    """SIGSTOP for longer than the lease."""
    return _freeze(field, _LONG)


def worker_stop(field: Field) -> bool:
    """SIGTERM, and another life."""
    if (worker := _free_worker(field)) is None or not worker.has_begun:
        return False
    field.fleet.stop(worker)
    return True


def worker_force(field: Field) -> bool:
    """SIGTERM twice."""
    if (worker := _free_worker(field)) is None or not worker.has_begun:
        return False
    field.fleet.stop(worker)
    life = worker.life

    def again() -> None:
        if worker.life == life:
            field.fleet.force(worker)

    field.later(field.rng.uniform(0.05, 1.0), again)
    return True


def producer_kill(field: Field) -> bool:
    """SIGKILL for a producer, which starts again a moment later."""
    producer = field.rng.choice(field.producers)
    if not producer.is_running:
        return False
    producer.kill()
    field.later(field.rng.uniform(0.1, 1.0), producer.start)
    return True


# ------------------------------------------------------------------------------------------------- a worker's link


def _break_link(field: Field, harm: Callable[[Proxy], None], share: tuple[float, float]) -> bool:
    assert isinstance(field.site, RedisSite)
    if (worker := _free_worker(field)) is None:
        return False
    link, label, from_ms = field.site.links[worker.number], worker.label, now_ms()
    worker.trouble = CUT_OFF
    harm(link)

    def mend() -> None:
        link.restore()
        worker.trouble = "" if worker.trouble == CUT_OFF else worker.trouble
        # The process may have begun another life meanwhile, behind the same broken link.
        for one in {label, worker.label}:
            field.note(Disturbed(worker=one, how=CUT_OFF, from_ms=from_ms, until_ms=now_ms()))

    field.later(_share_of_lease(field, share), mend)
    return True


def _either(field: Field) -> tuple[float, float]:
    return field.rng.choice((_SHORT, _LONG))


def link_cut(field: Field) -> bool:
    """Connections of one worker are reset, and new ones too."""
    return _break_link(field, Proxy.cut, _either(field))


def link_half_open(field: Field) -> bool:
    """Nothing passes between a worker and its store, and nothing is closed."""
    return _break_link(field, Proxy.half_open, _either(field))


def link_replies_lost(field: Field) -> bool:
    """A worker's requests arrive, the answers do not."""
    return _break_link(field, Proxy.lose_replies, _either(field))


def link_slow(field: Field) -> bool:
    """Every call of one worker takes up to 100 ms longer, for some seconds."""
    assert isinstance(field.site, RedisSite)
    if (worker := _free_worker(field)) is None:
        return False
    link = field.site.links[worker.number]
    link.delay(field.rng.uniform(5, 50))
    field.later(field.rng.uniform(1, 5), lambda: link.delay(0))
    return True


# --------------------------------------------------------------------------------------------------------- a server


def server_kill(field: Field) -> bool:
    """SIGKILL; it comes back with its append-only file."""
    assert isinstance(field.site, RedisSite)
    if field.is_store_disturbed:
        return False
    server, end = field.site.server, field.begin_outage()
    server.kill()

    def start() -> None:
        server.start()
        end()

    field.later(_share_of_lease(field, _either(field)), start)
    return True


def server_freeze(field: Field) -> bool:
    """SIGSTOP."""
    assert isinstance(field.site, RedisSite)
    if field.is_store_disturbed:
        return False
    server, end = field.site.server, field.begin_outage()
    server.freeze()

    def thaw() -> None:
        server.thaw()
        end()

    field.later(_share_of_lease(field, _either(field)), thaw)
    return True


def _command(field: Field, *words: str) -> bool:
    if field.is_store_disturbed:
        return False
    for server in field.site.servers:
        # The connection that asks is among those that are killed.
        with contextlib.suppress(redis.ConnectionError):
            server.command(*words)
    return True


def script_flush(field: Field) -> bool:
    """The server forgets all scripts."""
    return _command(field, "SCRIPT", "FLUSH")


def client_kill(field: Field) -> bool:
    """The server closes all connections."""
    return _command(field, "CLIENT", "KILL", "TYPE", "normal")


# ----------------------------------------------------------------------------------------------------------- a file


def write_lock(field: Field) -> bool:
    """Another program holds the lock of the file."""
    assert isinstance(field.site, SqliteSite)
    if field.is_store_disturbed:
        return False
    since_ms = now_ms()
    connection = sqlite3.connect(field.site.path, isolation_level=None, timeout=10)
    connection.execute("BEGIN IMMEDIATE")
    end = field.begin_outage(since_ms=since_ms)

    def release() -> None:
        connection.execute("ROLLBACK")
        connection.close()
        end()

    field.later(_share_of_lease(field, _either(field)), release)
    return True


FAULTS: Mapping[str, Fault] = {
    "worker-kill": worker_kill,
    "worker-freeze": worker_freeze,
    "worker-freeze-long": worker_freeze_long,
    "worker-stop": worker_stop,
    "worker-force": worker_force,
    "producer-kill": producer_kill,
    "link-cut": link_cut,
    "link-half-open": link_half_open,
    "link-replies-lost": link_replies_lost,
    "link-slow": link_slow,
    "server-kill": server_kill,
    "server-freeze": server_freeze,
    "script-flush": script_flush,
    "client-kill": client_kill,
    "write-lock": write_lock,
    **FAILOVERS,
}
