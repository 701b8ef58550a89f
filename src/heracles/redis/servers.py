"""Which server a key is on: one address, the master that Sentinels name, or the node of a cluster that has its slot."""

import asyncio
import ssl
import weakref
from binascii import crc_hqx
from collections.abc import Sequence
from typing import Any, Protocol

from heracles.errors import TransportError
from heracles.redis.access import Access
from heracles.redis.client import Client, Command
from heracles.redis.refusals import Refusal, translate
from heracles.redis.sentinels import Address, Sentinels
from heracles.redis.wire import LostError, Wire, open_wire

#: How often the Sentinels are asked whether the master is still the one connected to: an old one may live on, cut off.
MASTER_CHECK_S = 1.0
#: A call after a longer silence waits for that answer: it would be the next one that goes to the new master.
LONGEST_UNCHECKED_S = 3.0
#: While a cluster moves a slot or elects a master: how often a call is tried again, and the first pause.
CLUSTER_ATTEMPTS = 5
CLUSTER_PAUSE_S = 0.02
#: Of every cluster.
SLOTS = 16384
_SILENT = "no answer in time for a heartbeat"


class Servers(Protocol):
    """The servers behind one registered connection, for one event loop."""

    async def call(self, key: str, *commands: Command, repeat: bool = True) -> list[Any]:
        """The replies of the server that has the key. See ``Client.call``.

        Raises:
            TransportUnavailableError: it cannot be reached.
        """
        ...

    def ready(self, key: str) -> Wire | None:
        """The connection on which ``call`` would send at once, where nothing has to be looked up or awaited before."""
        ...

    async def open_wire(self, key: str) -> Wire:
        """A further connection to the server that has the key."""
        ...

    async def look(self) -> None:
        """Before a further connection is used again: see that it leads where its key is, if no refusal would tell."""
        ...

    async def call_each(self, command: Command) -> list[Any]:
        """The replies of every server that has keys."""
        ...

    def drop_silent(self, seconds: float) -> None:
        """Leave each connection for calls on which an answer has been waited for that long: it may be dead, and the
        server alive. Calls under way that bear it are made again on a new one."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


async def _open(access: Access, where: str, address: Address | None = None) -> Wire:
    try:
        return await open_wire(access, where, address)
    except Refusal as refusal:
        raise translate(refusal, where) from refusal
    except LostError as lost:
        if access.tls is not None and (problem := _certificate_problem(lost.__cause__)):
            # Trying again would not help.
            raise TransportError(f"{where}: {problem}") from lost
        raise


def _certificate_problem(cause: BaseException | None) -> str | None:
    match cause:
        case ssl.SSLCertVerificationError():
            found = cause.verify_message
            return f"its certificate is refused ({found}): give its authority as ssl_ca_certs, and the host as it says"
        case FileNotFoundError() | PermissionError():
            return f"certificates cannot be read ({cause.strerror}): correct ssl_ca_certs, ssl_certfile or ssl_keyfile"
        case ssl.SSLError(library="X509" | "PEM"):
            return f"certificates cannot be read ({cause.reason}): correct ssl_ca_certs, ssl_certfile or ssl_keyfile"
        case _:
            return None


class SingleServer:
    """One server at a fixed address."""

    def __init__(self, access: Access, where: str) -> None:
        self._access, self._where = access, where
        self._client = Client(self._dial)

    async def _dial(self) -> Wire:
        return await _open(self._access, self._where)

    async def call(self, key: str, *commands: Command, repeat: bool = True) -> list[Any]:
        """As ``Servers``."""
        return await self._client.call(*commands, repeat=repeat)

    def ready(self, key: str) -> Wire | None:
        """As ``Servers``."""
        return self._client.ready

    async def open_wire(self, key: str) -> Wire:
        """As ``Servers``."""
        return await self._dial()

    async def look(self) -> None:
        """As ``Servers``."""

    async def call_each(self, command: Command) -> list[Any]:
        """As ``Servers``."""
        return await self._client.call(command)

    def drop_silent(self, seconds: float) -> None:
        """As ``Servers``."""
        self._client.drop_if_silent(seconds, _SILENT)

    def close(self) -> None:
        """As ``Servers``."""
        self._client.close()


class SentinelServer:
    """The master of a name, as its Sentinels know it."""

    def __init__(self, access: Access, where: str, sentinels: Sentinels) -> None:
        self._access, self._where, self._sentinels = access, where, sentinels
        self._client = Client(self._dial)
        #: What the Sentinels have said of late, and when they were asked.
        self._named: Address | None = None
        self._named_at = 0.0
        #: Connections for commands that wait: nothing is refused there, so an old master would be waited on for ever.
        self._further: weakref.WeakSet[Wire] = weakref.WeakSet()
        #: When they were asked last, and when those were asked who have answered.
        self._asked_at = self._checked_at = 0.0
        #: The last check begun, and all under way.
        self._check: asyncio.Task[None] | None = None
        self._checks: set[asyncio.Task[None]] = set()
        #: Calls without an answer yet, and what looks after them.
        self._under_way = 0
        self._watch: asyncio.TimerHandle | None = None

    async def call(self, key: str, *commands: Command, repeat: bool = True) -> list[Any]:
        """As ``Servers``."""
        await self.look()
        self._under_way += 1
        try:
            replies = await self._client.call(*commands, repeat=repeat)
        finally:
            self._under_way -= 1
        if any(isinstance(reply, Refusal) and reply.code == "READONLY" for reply in replies):
            self._client.drop("it is no master any more")
        return replies

    def ready(self, key: str) -> Wire | None:
        """As ``Servers``: it may have to be looked after another master first."""
        return None

    async def open_wire(self, key: str) -> Wire:
        """As ``Servers``."""
        wire = await self._dial()
        self._further.add(wire)
        return wire

    async def call_each(self, command: Command) -> list[Any]:
        """As ``Servers``."""
        return await self._client.call(command)

    def drop_silent(self, seconds: float) -> None:
        """As ``Servers``."""
        self._client.drop_if_silent(seconds, _SILENT)

    def close(self) -> None:
        """As ``Servers``."""
        if self._watch is not None:
            self._watch.cancel()
        for check in self._checks:
            check.cancel()
        self._client.close()

    async def _dial(self) -> Wire:
        self._asked_at = asked_at = asyncio.get_running_loop().time()
        address = await self._find_master()
        self._checked_at = max(self._checked_at, asked_at)
        wire = await _open(self._access, self._where, address)
        role = await wire.send(("ROLE",))
        if not isinstance(role, Refusal) and role[0] != b"master":
            wire.drop()
            raise LostError(f"{self._where}: the Sentinels name {address[0]}:{address[1]}, which is no master yet")
        if address != self._named:
            # It was frozen while it was asked, for instance, and others have heard of its successor meanwhile.
            wire.drop()
            raise LostError(f"{self._where}: {address[0]}:{address[1]} is no master any more")
        self._leave_all_but(address)
        return wire

    def _leave_all_but(self, master: Address) -> None:
        why = "another server is master now"
        if self._client.peer not in (None, master):
            self._client.drop(why)
        for wire in list(self._further):
            if wire.peer != master:
                wire.drop(why)

    async def _find_master(self) -> Address:
        """By the latest news, which may be others' by the time that the answer is here."""
        asked_at = asyncio.get_running_loop().time()
        address = await self._sentinels.find_master(self._client.peer)
        if self._named is None or asked_at >= self._named_at:
            self._named, self._named_at = address, asked_at
        return self._named

    async def look(self) -> None:
        """As ``Servers``."""
        loop = asyncio.get_running_loop()
        if self._watch is None:
            self._watch = loop.call_later(MASTER_CHECK_S, self._look_again)
        if self._client.peer is None and not self._further:
            return
        if loop.time() - self._asked_at >= MASTER_CHECK_S:
            self._begin_check(loop)
        if self._check is not None and loop.time() - self._checked_at > LONGEST_UNCHECKED_S:
            # Others wait for it too: a caller that is cancelled must not end it.
            await asyncio.wait([self._check])

    def _look_again(self) -> None:
        """Ask also while nothing is called: a master that is frozen or paused holds calls up for a whole time-out."""
        self._watch = None
        if self._under_way:
            loop = asyncio.get_running_loop()
            self._begin_check(loop)
            self._watch = loop.call_later(MASTER_CHECK_S, self._look_again)

    def _begin_check(self, loop: asyncio.AbstractEventLoop) -> None:
        # One that is under way for long is no reason to wait: this process may have slept through its answers, and they
        # are as old as it is.
        if self._check is None or self._check.done() or loop.time() - self._asked_at > LONGEST_UNCHECKED_S:
            self._check = loop.create_task(self._compare_master(loop.time()))
            self._checks.add(self._check)
            self._check.add_done_callback(self._checks.discard)
        self._asked_at = loop.time()

    async def _compare_master(self, asked_at: float) -> None:
        try:
            self._leave_all_but(await self._find_master())
        except LostError:
            # Without Sentinels the connection that stands is as good as any.
            return
        finally:
            self._checked_at = max(self._checked_at, asked_at)


class ClusterServers:
    """The masters of a cluster."""

    def __init__(self, access: Access, where: str, seeds: Sequence[Address]) -> None:
        self._access, self._where = access, where
        self._clients: dict[Address, Client] = {}
        #: The nodes in the order in which they are asked for the slots. One that was away or knew no better comes last:
        #: it may be frozen, or cut off and still think that all is as it was.
        self._order: list[Address] = list(seeds)
        #: First slot, last slot, master; and the node that has told of them.
        self._slots: list[tuple[int, int, Address]] = []
        self._told_by: Address | None = None

    async def call(self, key: str, *commands: Command, repeat: bool = True) -> list[Any]:
        """As ``Servers``."""
        attempt = 0
        while True:
            address = await self._address(key)
            try:
                replies = await self._client(address).call(*commands, repeat=repeat)
            except LostError:
                # Its replica may take over: the next call looks for it.
                self._distrust(address)
                raise
            attempt += 1
            if not self._is_elsewhere(address, replies) or attempt == CLUSTER_ATTEMPTS:
                return replies
            await asyncio.sleep(CLUSTER_PAUSE_S * 2**attempt)

    def _is_elsewhere(self, address: Address, replies: Sequence[Any]) -> bool:
        """Whether the slot is moving or has moved. ASK is never followed: a script needs all keys of its slot."""
        codes = {reply.code for reply in replies if isinstance(reply, Refusal)}
        if codes & {"MOVED", "READONLY"}:
            self._distrust()
        if "CLUSTERDOWN" in codes:
            self._distrust(address)
        return bool(codes & {"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY"})

    def ready(self, key: str) -> Wire | None:
        """As ``Servers``: another one may have to be asked."""
        return None

    def _distrust(self, *away: Address) -> None:
        """Ask for the slots again: last those that are away, before them the one that has named them."""
        told_by = () if self._told_by is None else (self._told_by,)
        for address in (*told_by, *away):
            if address in self._order:
                self._order.remove(address)
                self._order.append(address)
        self._slots, self._told_by = [], None

    async def open_wire(self, key: str) -> Wire:
        """As ``Servers``."""
        address = await self._address(key)
        try:
            return await _open(self._access, self._where, address)
        except LostError:
            self._distrust(address)
            raise

    async def look(self) -> None:
        """As ``Servers``."""

    async def call_each(self, command: Command) -> list[Any]:
        """As ``Servers``."""
        await self._learn()
        return [await self._call_one(master, command) for master in sorted({master for _, _, master in self._slots})]

    async def _call_one(self, address: Address, command: Command) -> Any:
        try:
            return (await self._client(address).call(command))[0]
        except LostError:
            self._distrust(address)
            raise

    def drop_silent(self, seconds: float) -> None:
        """As ``Servers``."""
        for client in self._clients.values():
            client.drop_if_silent(seconds, _SILENT)

    def close(self) -> None:
        """As ``Servers``."""
        for client in self._clients.values():
            client.close()

    def _client(self, address: Address) -> Client:
        client = self._clients.get(address)
        if client is None:

            async def dial() -> Wire:
                return await _open(self._access, self._where, address)

            client = self._clients[address] = Client(dial)
        return client

    async def _address(self, key: str) -> Address:
        if not self._slots:
            await self._learn()
        slot = slot_of(key)
        for first, last, master in self._slots:
            if first <= slot <= last:
                return master
        self._distrust()
        raise LostError(f"{self._where}: no node serves slot {slot} now")

    async def _learn(self) -> None:
        why = "none is given"
        for address in tuple(self._order):
            try:
                found = (await self._client(address).call(("CLUSTER", "SLOTS")))[0]
            except LostError as error:
                self._distrust(address)
                why = str(error)
                continue
            if isinstance(found, Refusal):
                raise translate(found, self._where)
            self._slots = [(first, last, _master(nodes[0], address)) for first, last, *nodes in found]
            self._told_by = address
            known = {_master(node, address): None for _, _, *nodes in found for node in nodes}
            self._order += [node for node in known if node not in self._order]
            return
        raise LostError(f"{self._where}: no node answers: {why}")


def _master(node: Sequence[Any], asked: Address) -> Address:
    """A node without an address is the one that was asked."""
    return (node[0].decode() if node[0] else asked[0], int(node[1]))


def slot_of(key: str) -> int:
    """Of a cluster: by what stands in the first braces, if anything does."""
    _, _, rest = key.partition("{")
    tag, brace, _ = rest.partition("}")
    return crc_hqx((tag if tag and brace else key).encode(), 0) % SLOTS
