"""The stores that are soaked: how each is started, where workers and producers find it, what can befall it."""

import json
import random
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import redis

from tests.proxy import Proxy
from tests.servers import HOST, Cluster, Sentinels, Server, redis_7
from tests.soak.leftovers import in_redis, in_sqlite

_LONGEST_TRANSACTION_S = 0.25
#: What was acknowledged is on disk: a killed server loses nothing.
DURABLE_SERVER = {"appendonly": "yes", "appendfsync": "always"}
WORKER_FAULTS = (
    "worker-kill",
    "worker-freeze",
    "worker-freeze-long",
    "worker-stop",
    "worker-force",
    "producer-kill",
)
LINK_FAULTS = ("link-cut", "link-half-open", "link-replies-lost", "link-slow")
SERVER_FAULTS = ("script-flush", "client-kill")
#: An acknowledged dispatch has reached a replica. Starts and reports have not: what a failover forgets runs again.
_REPLICATED = {"durability": "replicated"}
#: Writes are held back that long while a switch is made, at most; they go on as soon as the old master is demoted.
_HELD_MS = 4000
#: Calls of a server that is gone, or frozen, are given up soon.
_SOON = "socket_timeout=2&socket_connect_timeout=1"


class Site:
    """One store."""

    #: The faults that suit it.
    faults: tuple[str, ...] = ()

    @property
    def is_held_up(self) -> bool:
        """Whether a process that was frozen now keeps all others from it."""
        return False

    def start(self) -> None:
        """Returns when it serves."""

    def stop(self) -> None:
        """End all of it and remove its files; safe twice."""

    @property
    def servers(self) -> Sequence[Server]:
        """Those that hold data, whatever their role."""
        return ()

    @property
    def url(self) -> str:
        """Where producers find it."""
        raise NotImplementedError

    def url_of_worker(self, number: int) -> str:
        """Where that worker finds it."""
        return self.url

    def leftovers(self) -> Sequence[str]:
        """What is left in it that ought not to be, once all jobs have ended."""
        raise NotImplementedError

    @property
    def options(self) -> Mapping[str, Any]:
        """Of the transport, beyond the lease."""
        return {}

    @property
    def options_text(self) -> str:
        """The same for the environment."""
        return json.dumps(self.options)


class SqliteSite(Site):
    """One file."""

    faults = (*WORKER_FAULTS, "write-lock")

    def __init__(self, folder: Path) -> None:
        self.path = folder / "jobs.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def is_held_up(self) -> bool:
        # Transactions take milliseconds: a lock that nobody gets for longer is that of a process that stands still.
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=_LONGEST_TRANSACTION_S)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
        finally:
            connection.close()
        return False

    def leftovers(self) -> Sequence[str]:
        return in_sqlite(self.path)


class RedisSite(Site):
    """One server; each worker has a way of its own to it."""

    faults = (*WORKER_FAULTS, *LINK_FAULTS, *SERVER_FAULTS, "server-kill", "server-freeze")

    def __init__(self, workers: int) -> None:
        self.server = Server(redis_7(), DURABLE_SERVER)
        self._workers = workers
        self.links: dict[int, Proxy] = {}

    def start(self) -> None:
        self.server.start()
        for number in range(1, self._workers + 1):
            self.links[number] = Proxy(self.server.port).start()

    def stop(self) -> None:
        for link in self.links.values():
            link.stop()
        self.server.stop()

    @property
    def servers(self) -> Sequence[Server]:
        return [self.server]

    @property
    def url(self) -> str:
        return self.server.url

    def url_of_worker(self, number: int) -> str:
        return self.links[number].url

    def leftovers(self) -> Sequence[str]:
        return in_redis([self.server])


class FailingOverSite(Site):
    """Servers of which a replica takes over from its master."""

    #: How many masters there are where no two servers claim the same.
    count: int

    @property
    def options(self) -> Mapping[str, Any]:
        return _REPLICATED

    def masters(self) -> Sequence[Server]:
        """Those that serve now."""
        return [server for server in self.servers if server.info("replication")["role"] == "master"]

    def leftovers(self) -> Sequence[str]:
        return in_redis(self.masters())

    def is_whole(self) -> bool:
        """Whether every server runs and every replica is in step: only then is something done to one."""
        raise NotImplementedError

    def is_settled(self) -> bool:
        """Whether there are as many masters as there should be, and nobody is about to replace one of them."""
        return len(self.masters()) == self.count

    def a_master(self, rng: random.Random) -> Server:
        """One that serves now."""
        raise NotImplementedError

    def is_replaced(self, old: Server) -> bool:
        """Whether another server serves what this one did."""
        raise NotImplementedError

    def order_failover(self, old: Server) -> bool:
        """Have another take over from a master that lives; whether that was heard."""
        raise NotImplementedError


class SentinelSite(FailingOverSite):
    """A master with two replicas, watched by three sentinels."""

    count = 1
    faults = (*WORKER_FAULTS, *SERVER_FAULTS, "failover-order", "failover-kill", "failover-freeze")

    def __init__(self) -> None:
        self._watched = Sentinels(redis_7(), DURABLE_SERVER)

    def start(self) -> None:
        self._watched.start()

    def stop(self) -> None:
        self._watched.stop()

    @property
    def servers(self) -> Sequence[Server]:
        return self._watched.servers

    @property
    def url(self) -> str:
        listed = ",".join(f"{host}:{port}" for host, port in self._watched.addresses)
        return f"redis+sentinel://{listed}/{Sentinels.NAME}?{_SOON}"

    def is_whole(self) -> bool:
        if any(server.process is None for server in self.servers):
            return False
        roles = [server.info("replication") for server in self.servers]
        masters = [role for role in roles if role["role"] == "master"]
        return len(masters) == 1 and masters[0]["connected_slaves"] == "2" and _are_in_step(roles)

    def is_settled(self) -> bool:
        return super().is_settled() and self._watched.is_at_rest

    def a_master(self, rng: random.Random) -> Server:
        return self._watched.master

    def is_replaced(self, old: Server) -> bool:
        # Two sentinels may replace one master after the other, where the second has not heard of the first in time.
        master = self._watched.master
        return master is not old and master.info("replication")["role"] == "master" and self._watched.is_at_rest

    def order_failover(self, old: Server) -> bool:
        # As an operator should: without it the old master goes on for a second, and one replica with it, so that what
        # they acknowledge meanwhile is forgotten.
        old.command("CLIENT", "PAUSE", _HELD_MS, "WRITE")
        deadline = time.monotonic() + _HELD_MS / 2000
        while not self._has_caught_up(old) and time.monotonic() < deadline:
            time.sleep(0.005)
        try:
            self._watched.sentinels[0].command("SENTINEL", "FAILOVER", Sentinels.NAME)
        except redis.ResponseError:
            old.command("CLIENT", "UNPAUSE")
            return False  # the one before is not over
        return True

    def _has_caught_up(self, old: Server) -> bool:
        offset = old.info("replication")["master_repl_offset"]
        replicas = [server.info("replication") for server in self.servers if server is not old]
        return all(replica.get("slave_repl_offset") == offset for replica in replicas)


class ClusterSite(FailingOverSite):
    """Three masters with a replica each."""

    count = 3
    faults = (*WORKER_FAULTS, *SERVER_FAULTS, "failover-order", "failover-kill", "failover-freeze", "slot-move")

    def __init__(self) -> None:
        quickly = {"cluster-node-timeout": 1000}
        self._cluster = Cluster(redis_7(), {**DURABLE_SERVER, **quickly}, has_replicas=True)

    def start(self) -> None:
        self._cluster.start()

    def stop(self) -> None:
        self._cluster.stop()

    @property
    def servers(self) -> Sequence[Server]:
        return self._cluster.nodes

    @property
    def url(self) -> str:
        listed = ",".join(f"{HOST}:{server.port}" for server in self.servers)
        return f"redis+cluster://{listed}?{_SOON}"

    def is_whole(self) -> bool:
        if any(server.process is None for server in self.servers):
            return False
        roles = [server.info("replication") for server in self.servers]
        states = [server.info("cluster-info") for server in self.servers]
        return (
            sum(role["role"] == "master" for role in roles) == self.count
            and sum(int(role.get("connected_slaves", 0)) for role in roles) == self.count
            and _are_in_step(roles)
            and all(state["cluster_state"] == "ok" and state["cluster_slots_fail"] == "0" for state in states)
        )

    def a_master(self, rng: random.Random) -> Server:
        return rng.choice(self.masters())

    def is_replaced(self, old: Server) -> bool:
        others = [server for server in self.servers if server is not old]
        roles = [server.info("replication")["role"] for server in others]
        states = [server.info("cluster-info")["cluster_state"] for server in others]
        return roles.count("master") == self.count and set(states) == {"ok"}

    def order_failover(self, old: Server) -> bool:
        for server in self.servers:
            if server.info("replication").get("master_port") == str(old.port):
                server.command("CLUSTER", "FAILOVER")
                return True
        return False


def _are_in_step(roles: Sequence[Mapping[str, str]]) -> bool:
    return all(role["role"] == "master" or role["master_link_status"] == "up" for role in roles)
