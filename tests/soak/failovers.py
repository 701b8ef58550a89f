"""Faults of stores in which one server takes over from another, and of slots that move between them."""

import time
from collections.abc import Callable, Mapping

import redis

from heracles.units import now_ms
from tests.history.events import FAILOVER
from tests.servers import HOST, Server
from tests.soak.field import Fault, Field
from tests.soak.plan import QUEUES
from tests.soak.sites import ClusterSite, FailingOverSite

#: Between two looks whether a failover is over.
_LOOK_S = 0.1
#: So many in a row have to find it so: a failover may be under way that nothing shows yet.
_LOOKS = 10
#: How long a failover, and an old master's way back, may take.
_PATIENCE_S = 60.0
#: An order that was heard is dropped where no replica could be made a master, as on a busy machine. Known after that.
_DROPPED_S = 20.0
#: When all clients have left an old master.
_HEARD_S = 4.0
#: What was acknowledged so shortly before may not have reached a replica.
_BEHIND_MS = 1000
#: A slot's keys move in so many steps of so many keys.
_KEYS_AT_ONCE = 200


def _ready_site(field: Field) -> FailingOverSite | None:
    """The site, where nothing is done to it now."""
    assert isinstance(field.site, FailingOverSite)
    return field.site if not field.is_store_disturbed and _holds(field.site.is_whole) else None


def _holds(condition: Callable[[], bool]) -> bool:
    """A server that is about to end or to start does not answer."""
    try:
        return condition()
    except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
        return False


def _until(field: Field, condition: Callable[[], bool], then: Callable[[], None], what: str) -> None:
    """Go on with ``then`` as soon as the condition has held for a while."""
    give_up_at = time.monotonic() + _PATIENCE_S
    held = 0

    def look() -> None:
        nonlocal held
        held = held + 1 if _holds(condition) else 0
        if held >= _LOOKS:
            then()
        elif time.monotonic() > give_up_at:
            raise RuntimeError(f"not within {_PATIENCE_S:.0f} s: {what}")
        else:
            field.later(_LOOK_S, look)

    look()


def failover_order(field: Field) -> bool:
    """Another server takes over from a master that lives."""
    if (site := _ready_site(field)) is None:
        return False
    old, since_ms = site.a_master(field.rng), now_ms()
    if not site.order_failover(old):
        return False
    dropped_at = time.monotonic() + _DROPPED_S

    def is_over() -> bool:
        return site.is_replaced(old) or (time.monotonic() > dropped_at and site.is_settled())

    # The replica has all that was acknowledged. Whoever does not hear of the switch asks after some seconds.
    end, release = field.begin_outage(since_ms=since_ms), field.hold_store()
    _until(field, is_over, lambda: field.later(_HEARD_S, end), "the failover that was ordered")
    _until(field, lambda: is_over() and site.is_whole(), release, "all replicas follow a master")
    return True


def failover_kill(field: Field) -> bool:
    """SIGKILL for a master; it comes back when another has taken over."""
    if (site := _ready_site(field)) is None:
        return False
    old = site.a_master(field.rng)
    end, release = field.begin_outage(FAILOVER, now_ms() - _BEHIND_MS), field.hold_store()
    old.kill()

    def start() -> None:
        old.start()
        _until(field, site.is_whole, release, "the old master is back as a replica")

    def go_on() -> None:
        end()
        field.later(field.rng.uniform(0.1, 2), start)

    _until(field, lambda: site.is_replaced(old), go_on, "the failover")
    return True


def failover_freeze(field: Field) -> bool:
    """SIGSTOP for a master until another has taken over: when it goes on, it believes that it is the master still."""
    if (site := _ready_site(field)) is None:
        return False
    old = site.a_master(field.rng)
    end, release = field.begin_outage(FAILOVER, now_ms() - _BEHIND_MS), field.hold_store()
    old.freeze()

    def thaw() -> None:
        old.thaw()
        # It may have been thawed before anybody missed it, or just when they were about to replace it.
        _until(field, site.is_settled, end, "the old master is a replica, or goes on")
        _until(field, site.is_whole, release, "all replicas follow a master")

    field.later(field.rng.uniform(3, 8), thaw)
    return True


# ------------------------------------------------------------------------------------------------------------ slots


def slot_move(field: Field) -> bool:
    """A queue's slot goes to another master, a few keys at a time."""
    site = _ready_site(field)
    if site is None:
        return False
    assert isinstance(site, ClusterSite)
    move = _Move(site, field)
    end = field.begin_outage()
    move.begin()

    def step() -> None:
        if move.has_moved_some():
            field.later(_LOOK_S, step)
        else:
            move.finish()
            end()

    field.later(_LOOK_S, step)
    return True


class _Move:
    def __init__(self, site: ClusterSite, field: Field) -> None:
        self._masters = site.masters()
        key = f"{{{field.rng.choice(QUEUES)}}}"
        self._slot = int(self._masters[0].command("CLUSTER", "KEYSLOT", key))
        self._source = next(master for master in self._masters if self._serves(master))
        self._target = field.rng.choice([master for master in self._masters if master is not self._source])

    def _serves(self, master: Server) -> bool:
        return any(
            first <= self._slot <= last and int(owner[1]) == master.port
            for first, last, owner, *_ in master.command("CLUSTER", "SLOTS")
        )

    def begin(self) -> None:
        self._target.command("CLUSTER", "SETSLOT", self._slot, "IMPORTING", _id_of(self._source))
        self._source.command("CLUSTER", "SETSLOT", self._slot, "MIGRATING", _id_of(self._target))

    def has_moved_some(self) -> bool:
        """False when there was nothing left."""
        keys = self._source.command("CLUSTER", "GETKEYSINSLOT", self._slot, _KEYS_AT_ONCE)
        if keys:
            self._source.command("MIGRATE", HOST, self._target.port, "", 0, 5000, "KEYS", *keys)
        return bool(keys)

    def finish(self) -> None:
        others = [master for master in self._masters if master is not self._target]
        for master in (self._target, *others):
            master.command("CLUSTER", "SETSLOT", self._slot, "NODE", _id_of(self._target))


def _id_of(server: Server) -> str:
    return str(server.command("CLUSTER", "MYID").decode())


FAILOVERS: Mapping[str, Fault] = {
    "failover-order": failover_order,
    "failover-kill": failover_kill,
    "failover-freeze": failover_freeze,
    "slot-move": slot_move,
}
