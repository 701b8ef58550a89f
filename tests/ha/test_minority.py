"""A node of a cluster that hears nothing of the others, and is reached by clients: it knows no better than of old."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
from redis.exceptions import ClusterDownError

from heracles import Queue, Redis, RedisTransport
from heracles.units import now_ms
from tests.ha.clusters import replica_of, serving, taken_over, url_of
from tests.ha.service import PATIENCE_S, Service
from tests.processes.app import Wait
from tests.servers import HOST, Certificates, Cluster, MissingServerError, Server, free_port
from tests.waiting import eventually

pytestmark = [pytest.mark.slow_fault, pytest.mark.timeout(600)]

#: Of queues with these names some stand on each of three masters.
QUEUES = ("alpha", "beta", "gamma", "delta")


def cut_off(node: Server) -> None:
    """It starts again with a bus that speaks TLS, as no other node does; clients reach it as before."""
    try:
        certificates = Certificates(node.directory)
    except MissingServerError as missing:
        pytest.skip(str(missing))
    node.kill()
    bus = ("--tls-cluster", "yes", "--tls-port", str(free_port(with_bus=True)))
    node.arguments = (*node.arguments, *bus, *certificates.directives)
    node.start()


def says_clusterdown(node: Server) -> bool:
    """Whether it refuses even to read."""
    try:
        node.command("GET", "key")
    except ClusterDownError:
        return True
    except redis.ResponseError:
        # It is another's.
        return False
    return False


def names(node: Server, queue: str) -> int:
    """The port of the master that this node takes for the queue's."""
    slot = node.command("CLUSTER", "KEYSLOT", f"{{{queue}}}")
    ports = [port for first, last, (_, port, *_), *_ in node.command("CLUSTER", "SLOTS") if first <= slot <= last]
    return int(ports[0])


@asynccontextmanager
async def queue_told_by(node: Server, cluster: Cluster, name: str) -> AsyncIterator[Queue]:
    """The queue of a producer that asks this node before all others."""
    others = [other for other in cluster.nodes if other is not node]
    listed = ",".join(f"{HOST}:{each.port}" for each in (node, *others))
    Redis.register_connection("told", url=f"redis+cluster://{listed}", socket_timeout=2)
    transport = RedisTransport(connection="told", key_prefix="told", dispatch_timeout=int(PATIENCE_S * 1000))
    try:
        yield Queue.get(name, transport=transport)
    finally:
        Queue.remove(name)
        await transport.close()


async def test_a_master_that_was_outvoted_is_left(cluster: Cluster, tmp_path: Path) -> None:
    async with Service(url_of(cluster), tmp_path, queues=QUEUES) as service:
        await service.begin()
        queue = service.queues[0].name
        old = serving(cluster, queue)
        before_ms = now_ms()
        cut_off(old)
        await taken_over(cluster, queue, old)
        await eventually(lambda: says_clusterdown(old), what="it answers CLUSTERDOWN", deadline_s=PATIENCE_S)
        taken_over_ms = now_ms()
        await service.goes_on(taken_over_ms)
        # It has not learnt anything meanwhile.
        assert says_clusterdown(old)
        assert names(old, queue) == old.port
        for name in QUEUES:
            async with queue_told_by(old, cluster, name) as told:
                await told.dispatch(Wait())
        await service.all_ended(lost_between_ms=(before_ms - 1000, taken_over_ms))
        service.end_workers()


@pytest.mark.parametrize("comes_back", [False, True], ids=["dead", "back as a replica"])
async def test_a_node_that_names_a_master_of_old_is_not_believed(cluster: Cluster, comes_back: bool) -> None:
    queue = "alpha"
    old = serving(cluster, queue)
    other = next(master for master in cluster.servers if master is not old)
    stale = replica_of(cluster, other)
    cut_off(stale)
    old.kill()
    others = [node for node in cluster.nodes if node not in (old, stale)]
    await eventually(
        lambda: all(names(node, queue) != old.port for node in others), what="it is replaced", deadline_s=PATIENCE_S
    )
    if comes_back:
        old.start()
        await eventually(lambda: old.command("ROLE")[0] == b"slave", what="it is a replica", deadline_s=PATIENCE_S)
    assert names(stale, queue) == old.port
    async with queue_told_by(stale, cluster, queue) as told:
        await told.dispatch(Wait())
        assert names(stale, queue) == old.port
