"""What can be done to a master that sentinels watch."""

from collections.abc import Mapping
from functools import partial

import redis

from tests.ha.service import PATIENCE_S
from tests.servers import Sentinels, Server
from tests.waiting import eventually

#: Milliseconds for which a planned switch holds writes back; they go on as soon as the old master is demoted.
HELD_MS = 10_000


def url_of(watched: Sentinels) -> str:
    """For producers and workers."""
    listed = ",".join(f"{host}:{port}" for host, port in watched.addresses)
    return f"redis+sentinel://{listed}/{watched.NAME}"


def replication_of(server: Server) -> Mapping[str, str]:
    """What it says of its replication; nothing where Sentinels end all connections, as they do when a role changes."""
    try:
        return server.info("replication")
    except redis.ConnectionError:
        return {}


def role_of(server: Server) -> str:
    """``master`` or ``slave``."""
    return str(server.command("ROLE")[0].decode())


def order_failover(watched: Sentinels) -> None:
    """The sentinels make another server the master, whatever the old one does."""
    watched.sentinels[0].command("SENTINEL", "FAILOVER", watched.NAME)


async def switch_as_planned(watched: Sentinels) -> None:
    """As the guide says: hold writes back, let the replicas catch up, then switch."""
    old = watched.master
    old.command("CLIENT", "PAUSE", HELD_MS, "WRITE")
    await eventually(lambda: _is_caught_up(watched, old), what="the replicas have caught up")
    order_failover(watched)
    await switched(watched, old)


def _is_caught_up(watched: Sentinels, old: Server) -> bool:
    offset = old.info("replication")["master_repl_offset"]
    others = [server for server in watched.servers if server is not old]
    return all(replication_of(server).get("slave_repl_offset") == offset for server in others)


async def switched(watched: Sentinels, old: Server) -> None:
    """Returns when the sentinels name another server."""
    await eventually(lambda: watched.master is not old, what="another server is master", deadline_s=PATIENCE_S)


async def joined(old: Server) -> None:
    """Returns when an old master is a replica, in step with the new one."""
    await eventually(
        lambda: replication_of(old).get("master_link_status") == "up",
        what="the old master is a replica",
        deadline_s=PATIENCE_S,
        interval_s=0.1,
    )


async def cut_replicas_off(watched: Sentinels) -> None:
    """The master goes on alone: what it takes from now on is lost with it."""
    master = watched.master
    replicas = [server for server in watched.servers if server is not master]
    for replica in replicas:
        # A password that the master does not know, so that they cannot come back.
        replica.command("CONFIG", "SET", "masterauth", "wrong")
    master.command("CLIENT", "KILL", "TYPE", "replica")
    await eventually(
        lambda: all(replication_of(replica).get("master_link_status") == "down" for replica in replicas),
        what="the replicas are cut off",
    )


async def let_replicas_in(watched: Sentinels) -> None:
    """Undo ``cut_replicas_off``."""
    for server in watched.servers:
        if server.process is not None:
            await eventually(partial(_forget_password, server), what="it has no password any more")


def _forget_password(server: Server) -> bool:
    try:
        return bool(server.command("CONFIG", "SET", "masterauth", ""))
    except redis.ConnectionError:
        return False
