"""What all verbs share: the connection behind the name, the names of keys, and how a script is called."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from heracles.errors import ConfigurationError, TransportError, TransportUnavailableError
from heracles.options import StoreSettings
from heracles.redis.client import Command
from heracles.redis.connections import Endpoint, Opened, Redis
from heracles.redis.entries import text_of
from heracles.redis.keys import Keys
from heracles.redis.refusals import Refusal, translate
from heracles.redis.scripts import Script, script
from heracles.redis.servers import Servers
from heracles.redis.wire import Argument, LostError, Wire

logger = logging.getLogger("heracles.redis")

OLDEST_SERVER = (6, 2)
#: From this version on Redis tells whether a write is on disk.
WAITAOF_SERVER = (7, 2)
#: How long a token lies that nobody takes; workers look for themselves more often.
TOKEN_TTL_MS = 60_000
#: Seconds by which the end of a wait may be late: Redis looks for those that are over ten times a second.
LATE_S = 2.0
#: How long an acknowledged write may take to reach a replica or the disk, in ms.
DURABLE_WITHIN_MS = 3000


class Store:
    """One connection, key prefix and set of options."""

    def __init__(self, connection: str, prefix: str, group: str, settings: StoreSettings) -> None:
        self.settings = settings
        self._name, self._prefix, self._group = connection, prefix, group
        self._endpoint: Endpoint | None = None
        self._keys: Keys | None = None
        #: By queue: the keys of every script, and the arguments that all have in common.
        self._common: dict[str, tuple[Sequence[str], Command]] = {}
        self._is_checked = False
        #: The event loop that called last, and its connections to a store that was checked.
        self._latest: tuple[asyncio.AbstractEventLoop, Opened] | None = None
        self._has_warned = False
        #: Whether the disk is waited for after each change; else Redis itself writes before it answers.
        self._waits_for_disk = False
        self._lock = threading.Lock()

    # -------------------------------------------------------------------------------------------------- connection

    @property
    def endpoint(self) -> Endpoint:
        """What the connection's name stands for, looked up once.

        Raises:
            ConfigurationError: there is none of that name.
        """
        with self._lock:
            if self._endpoint is None:
                self._endpoint = Redis.connection(self._name)
            return self._endpoint

    @property
    def keys(self) -> Keys:
        """The names of keys."""
        if self._keys is None:
            self._keys = Keys(self._prefix, in_cluster=self.endpoint.in_cluster)
        return self._keys

    @property
    def identity(self) -> str:
        """Connection and key prefix, for people."""
        try:
            return f"{self.endpoint.identity} (keys {self._prefix}:*)"
        except ConfigurationError:
            return f"the Redis connection {self._name!r} (keys {self._prefix}:*)"

    @property
    def where(self) -> str:
        """The connection, for messages."""
        return self.endpoint.identity

    async def open(self) -> None:
        """Reach every server and check it again."""
        await self._check((await self.endpoint.opened(self)).servers)

    async def servers(self) -> Servers:
        """The running event loop's connections to a store that was checked."""
        opened = await self.endpoint.opened(self)
        if not self._is_checked:
            await self._check(opened.servers)
        self._latest = asyncio.get_running_loop(), opened
        return opened.servers

    def _ready_wire(self, key: str) -> Wire | None:
        """That of the server that has the key, where it can be had without asking anybody: most calls take it."""
        if self._latest is None:
            return None
        loop, opened = self._latest
        if loop is not asyncio.get_running_loop() or not opened.is_usable:
            return None
        return opened.servers.ready(key)

    @asynccontextmanager
    async def borrowed_wire(self, key: str) -> AsyncIterator[Wire]:
        """A connection to the server that has the key, for a command that waits there."""
        opened = await self.endpoint.opened(self)
        async with opened.borrowed_wire(key) as wire:
            yield wire

    async def close(self) -> None:
        """Close what belongs to the running event loop."""
        self._latest = None
        if self._endpoint is not None:
            await self._endpoint.close(self)

    # ------------------------------------------------------------------------------------------------------- calls

    async def command(self, key: str, *command: Argument) -> Any:
        """The answer to one command.

        Raises:
            TransportUnavailableError: the server cannot be reached, or cannot serve now.
            TransportError: it refuses.
        """
        return (await self.commands(key, command))[0]

    async def commands(self, key: str, *commands: Command) -> list[Any]:
        """The answers to several commands in one round trip; the first refusal is raised. See ``command``."""
        servers = await self.servers()
        return [self._accept(reply, key) for reply in await servers.call(key, *commands)]

    async def run(
        self, name: str, queue: str, *arguments: Argument, repeat: bool = True, then: Command | None = None
    ) -> Any:
        """The answer of a script; with ``then``, a pair with the answer of the command sent behind it.

        ``repeat``: whether it may be sent again when the connection broke. See ``command`` for what is raised.
        """
        keys, common = self._common.get(queue) or self._learn(queue)
        if then is None and (wire := self._ready_wire(keys[0])) is not None:
            try:
                reply = await wire.send(("EVALSHA", script(name).sha, len(keys), *keys, *common, *arguments))
            except LostError:
                if wire.is_late or not repeat:
                    raise
            else:
                if not isinstance(reply, Refusal):
                    return reply
            # It was refused as a whole, and did nothing, or it may be sent again.
        answers = await self._evaluate(name, keys, (*common, *arguments), repeat, then)
        return answers[0] if then is None else answers

    async def leave_token(self, key: str) -> None:
        """What ends the wait of one that waits for this key."""
        await self.commands(key, ("LPUSH", key, "1"), ("PEXPIRE", key, TOKEN_TTL_MS))

    async def run_after(self, wait: Command, wait_s: float, name: str, queue: str, *arguments: Argument) -> list[Any]:
        """The answers of a command that waits so long, a Refusal where it was refused, and of a script behind it.

        The server calls the script when the wait is over, without a way to here and back. What is raised is as for
        ``command``; the script may then be called until the time has passed. Once refused, it is called again at once.
        """
        keys, common = self._common.get(queue) or self._learn(queue)
        verb = script(name)
        call: Command = ("EVALSHA", verb.sha, len(keys), *keys, *common, *arguments)
        try:
            async with asyncio.timeout(wait_s + LATE_S), self.borrowed_wire(keys[0]) as wire:
                waited, answer = [await reply for reply in (wire.send(wait, wait_s), wire.send(call, wait_s))]
                if isinstance(answer, Refusal):
                    # Where it leads, the key may be no more.
                    wire.drop("a wait was refused")
        except TimeoutError:
            raise LostError(f"{self.where}: a wait has had no end") from None
        if isinstance(answer, Refusal):
            # The script was not loaded there, or the key is elsewhere now: a plain call sees to both.
            waited, answer = None, (await self._call(await self.servers(), verb, call, repeat=False))[0]
        return [waited, self._accept(answer)]

    async def insist(self, key: str, *command: Argument, ttl_s: int | None = None) -> Any:
        """The answer to a command, whose key stands second, that is let through also when the memory is full.

        In the same step the key is given ``ttl_s`` to live: it is never seen, or left behind, without.
        """
        verb, _, *rest = command
        lives = "" if ttl_s is None else str(ttl_s)
        return (await self._evaluate("insist", (key,), (lives, verb, *rest), repeat=True))[0]

    async def _evaluate(
        self, name: str, keys: Sequence[str], arguments: Command, repeat: bool, then: Command | None = None
    ) -> list[Any]:
        verb, servers = script(name), await self.servers()
        call: Command = ("EVALSHA", verb.sha, len(keys), *keys, *arguments)
        if then is not None:
            return await self._evaluate_and_wait(verb, call, then)
        # Of a script with one key, it is that one which is wrong.
        only_key = keys[0] if len(keys) == 1 else ""
        return [self._accept(reply, only_key) for reply in await self._call(servers, verb, call, repeat)]

    async def _call(self, servers: Servers, verb: Script, call: Command, repeat: bool) -> list[Any]:
        key = str(call[3])
        replies = await servers.call(key, call, repeat=repeat)
        if isinstance(replies[0], Refusal) and replies[0].code == "NOSCRIPT":
            load: Command = ("SCRIPT", "LOAD", verb.text)
            # It was refused as a whole, and did nothing.
            loaded, *replies = await servers.call(key, load, call, repeat=repeat)
            self._accept(loaded)
        return replies

    async def _evaluate_and_wait(self, verb: Script, call: Command, then: Command) -> list[Any]:
        """The answers of a script that bears being repeated, and of a command that waits behind it.

        On a connection of its own, the same for both: what waits for a replica holds nobody up, and speaks of the
        server that has run the script.
        """
        try:
            return await self._on_one_wire(call, then)
        except TransportError as error:
            logger.debug("a script is called again before its durability is waited for: %s", error)
        # The script was not loaded there, or the key is elsewhere now: a plain call sees to both.
        answer = self._accept((await self._call(await self.servers(), verb, call, repeat=True))[0])
        _, waited = await self._on_one_wire(call, then)
        return [answer, waited]

    async def _on_one_wire(self, call: Command, then: Command) -> list[Any]:
        async with self.borrowed_wire(str(call[3])) as wire:
            replies = (wire.send(call), wire.send(then, DURABLE_WITHIN_MS / 1000))
            return [self._accept(await reply) for reply in replies]

    def _learn(self, queue: str) -> tuple[Sequence[str], Command]:
        settings = self.settings
        kept = settings.max_stream_size if settings.cleanup_completed_jobs else -1
        common = (
            self._prefix,
            self.keys.tag(queue),
            self._group,
            settings.lease_ms,
            settings.status_ttl_s,
            kept,
            settings.max_deliveries,
        )
        self._common[queue] = (self.keys.of("meta", queue), self.keys.absent(queue)), common
        return self._common[queue]

    def _accept(self, reply: Any, key: str = "") -> Any:
        if isinstance(reply, Refusal):
            raise translate(reply, self.where, key) from reply
        return reply

    # -------------------------------------------------------------------------------------------------- the server

    async def durable(self) -> Command | None:
        """What is sent behind a producer's change so that its answer says that it is safe."""
        match self.settings.durability:
            case "replicated":
                return ("WAIT", 1, DURABLE_WITHIN_MS)
            case "fsync":
                # The server is checked first: only then is known whether it can tell.
                await self.servers()
                return ("WAITAOF", 1, 0, DURABLE_WITHIN_MS) if self._waits_for_disk else None
            case _:
                return None

    async def _check(self, servers: Servers) -> None:
        """Whether every server can serve.

        Raises:
            TransportError: one is too old, or cannot give the durability asked for.
        """
        for reply in await servers.call_each(("INFO",)):
            info = _read_info(self._accept(reply))
            if info.get("loading") == "1":
                raise TransportUnavailableError(f"{self.where} is loading its data")
            version = _version(info)
            if version < OLDEST_SERVER:
                raise TransportError(f"{self.where} is Redis {info.get('redis_version')}: 6.2 or newer is needed")
            if info.get("cluster_enabled") == "1" and not self.endpoint.in_cluster:
                raise TransportError(f"{self.where} is a Redis Cluster: register the connection with cluster=True")
            self._warn_of_eviction(info)
            if self.settings.durability == "fsync":
                await self._check_disk(servers, info, version)
        self._is_checked = True

    def _warn_of_eviction(self, info: dict[str, str]) -> None:
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction" and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s evicts keys when its memory is full (maxmemory-policy %s), jobs among them: set noeviction",
                self.where,
                policy,
            )

    async def _check_disk(self, servers: Servers, info: dict[str, str], version: tuple[int, int]) -> None:
        if info.get("aof_enabled") != "1":
            raise TransportError(f'durability="fsync": {self.where} writes no AOF: set appendonly yes')
        if version >= WAITAOF_SERVER:
            self._waits_for_disk = True
            return
        found = [self._accept(reply) for reply in await servers.call_each(("CONFIG", "GET", "appendfsync"))]
        if any(text_of(answer[1]) != "always" for answer in found if answer):
            raise TransportError(
                f'durability="fsync": {self.where} is Redis {info.get("redis_version")}, which cannot tell when a '
                "write is on disk: use 7.2 or newer, or set appendfsync always"
            )


def tell_faults(queue: str, faults: Sequence[Any]) -> None:
    """What scripts answer of single jobs with which something is wrong."""
    for fault in faults:
        logger.warning("queue %s: a job is left alone, a key of it holds something else: %s", queue, text_of(fault))


def _read_info(answer: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in text_of(answer).splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


def _version(info: dict[str, str]) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", info.get("redis_version", ""))
    return (int(found[1]), int(found[2])) if found else OLDEST_SERVER
