"""What can be done to the masters of a cluster and to their slots."""

from contextlib import suppress

from redis.crc import key_slot

from tests.ha.service import PATIENCE_S
from tests.servers import HOST, Cluster, Server
from tests.waiting import eventually

KEYS_A_STEP = 20
#: How long a cluster tries one failover that was ordered.
ONE_FAILOVER_S = 6.0


def url_of(cluster: Cluster) -> str:
    """For producers and workers."""
    listed = ",".join(f"{HOST}:{node.port}" for node in cluster.nodes)
    return f"redis+cluster://{listed}"


def masters(cluster: Cluster) -> list[Server]:
    """The nodes that serve slots, as they say themselves."""
    return [node for node in cluster.nodes if node.process is not None and node.command("ROLE")[0] == b"master"]


def owner(cluster: Cluster, queue: str, *, besides: Server | None = None) -> Server | None:
    """The node that serves a queue, as a running one says; ``besides`` is not asked and does not count."""
    slot = key_slot(f"{{{queue}}}".encode())
    asked = next(node for node in cluster.nodes if node.process is not None and node is not besides)
    for first, last, (_, port, *_), *_ in asked.command("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return next((node for node in cluster.nodes if node.port == port and node is not besides), None)
    return None


def serving(cluster: Cluster, queue: str) -> Server:
    """The node that serves a queue."""
    found = owner(cluster, queue)
    assert found is not None
    return found


def replica_of(cluster: Cluster, master: Server) -> Server:
    """A node that stands in for it."""
    for node in cluster.nodes:
        role = node.command("ROLE") if node.process is not None and node is not master else [b""]
        if role[0] == b"slave" and role[2] == master.port:
            return node
    raise AssertionError("it has no replica")


async def taken_over(cluster: Cluster, queue: str, old: Server) -> None:
    """Returns when another node serves the queue."""
    await eventually(
        lambda: owner(cluster, queue, besides=old), what=f"another node serves {queue}", deadline_s=PATIENCE_S,
        interval_s=0.05,
    )  # fmt: skip


async def fail_over(cluster: Cluster, queue: str) -> Server:
    """Let a replica take the queue's master over; the old master."""
    old = serving(cluster, queue)
    replica = replica_of(cluster, old)
    while owner(cluster, queue) is not replica:
        # One that gets no votes in time is given up, and has to be ordered again.
        replica.command("CLUSTER", "FAILOVER")
        with suppress(AssertionError):
            await eventually(lambda: owner(cluster, queue) is replica, deadline_s=ONE_FAILOVER_S, interval_s=0.05)
    return old


async def move_slot(cluster: Cluster, queue: str, target: Server) -> None:
    """Move a queue's slot to another master, key by key, as resharding does."""
    slot, source = key_slot(f"{{{queue}}}".encode()), serving(cluster, queue)
    target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
    source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", _id(target))
    while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, KEYS_A_STEP):
        source.command("MIGRATE", HOST, target.port, "", 0, 5000, "KEYS", *(key.decode() for key in keys))
    for node in (target, source, *(other for other in masters(cluster) if other not in (source, target))):
        node.command("CLUSTER", "SETSLOT", slot, "NODE", _id(target))
    await eventually(lambda: owner(cluster, queue) is target, what="the slot has moved", deadline_s=PATIENCE_S)


def _id(node: Server) -> str:
    return str(node.command("CLUSTER", "MYID").decode())
