"""Named Redis connections: registered in code or by the environment, opened by each event loop for itself."""

import asyncio
import importlib
import os
import re
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlsplit

from heracles.errors import ConfigurationError
from heracles.redis.access import REDIS_PORT, Access, plain_access, plain_options
from heracles.redis.sentinels import Address, Sentinels
from heracles.redis.servers import ClusterServers, SentinelServer, Servers, SingleServer
from heracles.redis.wire import Wire

SENTINEL_PORT = 26379
#: How many connections that wait for nothing are kept.
MOST_SPARE = 16
#: A Sentinel that does not answer soon is left out.
SENTINEL_TIMEOUT_S = 1.0
_FORMS = re.compile(r"(?P<tls>redis|rediss)\+(?P<form>sentinel|cluster)")
#: Options of redis-py's clients and pools that mean nothing to a connection.
_FOR_POOLS = ("max_connections", "decode_responses", "retry", "retry_on_timeout", "retry_on_error", "encoding")


class Endpoint:
    """What a connection's name stands for. Connects to nothing until an event loop asks for its servers."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        nodes: Iterable[Address] = (),
        cluster: bool = False,
        master: str | None = None,
        sentinel_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.access = _access(options)
        self.nodes = tuple(nodes)
        self.in_cluster = cluster
        self.master = master
        self._sentinel_access = _access(sentinel_options or {})
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Opened] = weakref.WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<connection to {self.identity}>"

    @property
    def identity(self) -> str:
        """Where it leads, without a password."""
        access = self.access
        scheme = "rediss" if access.tls is not None else "redis"
        database = f"/{access.db}" if access.db else ""
        if self.master is not None:
            return f"{scheme}+sentinel://{_listed(self.nodes)}/{self.master}{database}"
        if self.in_cluster:
            return f"{scheme}+cluster://{_listed(self.nodes)}"
        if access.path is not None:
            return f"unix://{access.path}{database}"
        return f"{scheme}://{access.host}:{access.port}{database}"

    async def opened(self, user: object) -> "Opened":
        """The connections of the running event loop, for ``user`` until it closes them."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._pid != os.getpid():
                # After a fork: the sockets are the parent's. Nothing of them may be touched, so they are kept.
                _of_parents.append(self._loops)
                self._forget()
            opened = self._loops.get(loop)
            if opened is None:
                opened = self._loops[loop] = Opened(self._make())
        opened.users.add(user)
        await opened.begin()
        return opened

    def _make(self) -> Servers:
        if self.master is not None:
            sentinels = Sentinels(self.nodes, self._sentinel_access, self.identity, self.master)
            return SentinelServer(self.access, self.identity, sentinels)
        if self.in_cluster:
            return ClusterServers(self.access, self.identity, self.nodes)
        return SingleServer(self.access, self.identity)

    async def close(self, user: object) -> None:
        """Close the connections of the running event loop, unless others use them."""
        loop = asyncio.get_running_loop()
        with self._lock:
            opened = self._loops.get(loop) if self._pid == os.getpid() else None
            if opened is None:
                return
            opened.users.discard(user)
            if opened.users:
                return
            del self._loops[loop]
        await opened.end()


#: Connections that belong to the process which forked this one.
_of_parents: list[Any] = []


class Opened:
    """An event loop's connections, closed when it shuts down its asynchronous generators, as asyncio.run does."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        #: The stores that use them.
        self.users: weakref.WeakSet[Any] = weakref.WeakSet()
        #: Connections on which nobody waits now, by a key that is on their server.
        self._spare: dict[str, list[Wire]] = {}
        self._guard: AsyncGenerator[None, None] | None = None
        self._is_closed = False
        self._pid = os.getpid()

    @property
    def is_usable(self) -> bool:
        """Whether they are not closed yet, nor another process's."""
        return not self._is_closed and self._pid == os.getpid()

    async def begin(self) -> None:
        """Have them closed in the end."""
        if self._guard is None:
            self._guard = self._until_shutdown()
            await anext(self._guard)

    async def _until_shutdown(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._is_closed = True
            self.servers.close()
            for wires in self._spare.values():
                for wire in wires:
                    wire.drop()

    async def end(self) -> None:
        """Close them."""
        if self._guard is not None:
            await self._guard.aclose()

    @asynccontextmanager
    async def borrowed_wire(self, key: str) -> AsyncIterator[Wire]:
        """A connection to the server that has the key, for commands that wait there.

        It is kept for the next one, unless the caller is gone before its answer.
        """
        await self.servers.look()
        spare = self._spare.setdefault(key, [])
        spare[:] = [wire for wire in spare if wire.is_open]
        wire = spare.pop() if spare else await self.servers.open_wire(key)
        try:
            yield wire
        except BaseException:
            wire.drop()
            raise
        if wire.is_open and not self._is_closed and sum(map(len, self._spare.values())) < MOST_SPARE:
            spare.append(wire)
        else:
            wire.drop()


def _listed(nodes: Iterable[Address]) -> str:
    return ",".join(f"{host}:{port}" for host, port in nodes)


def _access(options: Mapping[str, Any]) -> Access:
    given = {name: value for name, value in options.items() if name not in _FOR_POOLS}
    try:
        return plain_access(given) or _redis_py().access_of(given)
    except (TypeError, ValueError) as error:
        text = str(error).rpartition("__init__() ")[2]
        raise ConfigurationError(f"a Redis connection cannot have these options: {text}") from None


class _RedisPy(Protocol):
    def access_of(self, options: Mapping[str, Any]) -> Access: ...

    def options_of(self, url: str) -> dict[str, Any]: ...


def _redis_py() -> _RedisPy:
    # By name, so that a process whose connections are plain does without redis-py's 8 MiB.
    return cast("_RedisPy", importlib.import_module("heracles.redis.bearer"))


class Redis:
    """The registry of named connections."""

    _lock = threading.Lock()
    _registered: dict[str, Endpoint] = {}  # noqa: RUF012 - the registry itself
    #: Made from the environment: by name, with the URL that each was made from.
    _from_environment: dict[str, tuple[str, Endpoint]] = {}  # noqa: RUF012 - the registry itself

    @classmethod
    def register_connection(
        cls,
        name: str,
        *,
        url: str | None = None,
        sentinel: Mapping[str, Any] | None = None,
        cluster: bool = False,
        **options: Any,
    ) -> None:
        """Give a connection a name; transports look it up when they are first used.

        ``url`` is ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://host,host/master`` or
        ``redis+cluster://host,host``. ``sentinel`` is ``{"sentinels": [...], "name": "mymaster"}``. ``options`` are
        those of redis-py: host, port, username, password, db, ssl and what belongs to it, socket_timeout, …

        Raises:
            ConfigurationError: the URL or an option cannot be used.
        """
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"{name!r} is no name for a connection")
        endpoint = _endpoint(url, sentinel, cluster, options)
        with cls._lock:
            cls._registered[name] = endpoint

    @classmethod
    def register_url(cls, url: str) -> str:
        """Register a URL under a name made from it, without its password; the same URL gets the same name."""
        endpoint = _endpoint(url, None, False, {})
        name, number = endpoint.identity, 1
        with cls._lock:
            # Two URLs that differ in what is not shown are two connections.
            while cls._from_environment.setdefault(name, (url, endpoint))[0] != url:
                number += 1
                name = f"{endpoint.identity}#{number}"
        return name

    @classmethod
    def is_registered(cls, name: str) -> bool:
        """Whether the name was registered in code."""
        return name in cls._registered

    @classmethod
    def connection(cls, name: str) -> Endpoint:
        """What the name stands for: registered in code, else by ``HERACLES_REDIS_<NAME>_URL``.

        Raises:
            ConfigurationError: there is none of that name, or its URL cannot be used.
        """
        with cls._lock:
            if name in cls._registered:
                return cls._registered[name]
        variables = _variables(name)
        for variable in variables:
            url = os.environ.get(variable)
            if url and not url.startswith("sqlite:"):
                return cls._of_variable(name, variable, url)
        with cls._lock:
            if name in cls._from_environment:
                return cls._from_environment[name][1]
            known = ", ".join(sorted(cls._registered)) or "none"
        raise ConfigurationError(
            f"no Redis connection {name!r} is registered (registered: {known}): call "
            f"Redis.register_connection({name!r}, url=…) or set {' or '.join(variables)}"
        )

    @classmethod
    def _of_variable(cls, name: str, variable: str, url: str) -> Endpoint:
        with cls._lock:
            known = cls._from_environment.get(name)
            if known is not None and known[0] == url:
                return known[1]
            try:
                endpoint = _endpoint(url, None, False, {})
            except ConfigurationError as error:
                raise ConfigurationError(f"{variable}: {error}") from None
            cls._from_environment[name] = (url, endpoint)
            return endpoint


def _variables(name: str) -> tuple[str, ...]:
    word = re.sub(r"[^A-Z0-9]", "_", name.upper())
    own = f"HERACLES_REDIS_{word}_URL"
    # What serves where nothing is named serves under the name that nothing stands for.
    return (own, "HERACLES_URL", "HERACLES_REDIS_URL", "REDIS_URL") if name == "default" else (own,)


# ------------------------------------------------------------------------------------------------------------ URLs


def _endpoint(
    url: str | None, sentinel: Mapping[str, Any] | None, cluster: bool, options: Mapping[str, Any]
) -> Endpoint:
    form, hosts, path, from_url = _read_url(url) if url is not None else ("", [], "", {})
    given: dict[str, Any] = {**options, **from_url}
    if (sentinel is not None) + (form == "sentinel") + (cluster or form == "cluster") > 1:
        raise ConfigurationError(
            "a connection has one form: give one of sentinel=, cluster=True and a URL of such a form"
        )
    if sentinel is not None:
        return _of_sentinels(sentinel, given)
    if form == "sentinel":
        return _of_sentinels({"sentinels": hosts or ["localhost"], "name": path}, given)
    if cluster or form == "cluster":
        if given.pop("db", 0):
            raise ConfigurationError("a Redis Cluster has no databases: leave the number out")
        default = _address((given.pop("host", "localhost"), given.pop("port", REDIS_PORT)), REDIS_PORT)
        return Endpoint(given, nodes=[_address(host, REDIS_PORT) for host in hosts] or [default], cluster=True)
    return Endpoint(given)


def _read_url(url: str) -> tuple[str, list[str], str, dict[str, Any]]:
    """Form (sentinel, cluster or ''), hosts and path of those forms, and redis-py's options."""
    try:
        scheme, separator, rest = url.partition("://")
        found = _FORMS.fullmatch(scheme)
        if not found:
            if not separator or scheme not in ("redis", "rediss", "unix"):
                raise ConfigurationError(
                    f"cannot use a Redis URL that begins with {scheme[:20]!r}: give redis://, rediss://, unix://, "
                    "redis+sentinel:// or redis+cluster://"
                )
            _check_port(url)
            return "", [], "", _options(url)
        return _read_nodes(found, rest)
    except (ValueError, TypeError) as error:
        # Neither URL nor cause is shown whole: a password may stand in both.
        raise ConfigurationError(
            f"cannot read the Redis URL: {type(error).__name__}; its form is "
            "redis://user:password@host:port/0, special characters as %XX"
        ) from None


def _options(url: str) -> dict[str, Any]:
    plain = plain_options(url)
    return _redis_py().options_of(url) if plain is None else plain


def _check_port(url: str) -> None:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:  # it is no number, or a larger one than there are
        port = 0
    if port == 0:
        # Not shown: where a password is not quoted, a part of it stands in this place.
        raise ConfigurationError(
            "cannot read the Redis URL, its port is wrong: give a number from 1 to 65535, special characters of a "
            "password as %XX"
        )


def _read_nodes(found: "re.Match[str]", rest: str) -> tuple[str, list[str], str, dict[str, Any]]:
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    name, _, database = path.partition("/")
    form = found["form"]
    if form == "cluster":
        name, database = "", path
    elif not name:
        raise ConfigurationError("a redis+sentinel URL names its master: redis+sentinel://host:26379/mymaster")
    options = _options(f"{found['tls']}://{user}{at}localhost/{database}?{query}")
    options.pop("host", None)
    return form, [host for host in hosts.split(",") if host], unquote(name), options


def _of_sentinels(sentinel: Mapping[str, Any], options: dict[str, Any]) -> Endpoint:
    unknown = set(sentinel) - {"sentinels", "name", "password", "username", "sentinel_password", "sentinel_username"}
    if unknown or not sentinel.get("sentinels") or not sentinel.get("name"):
        raise ConfigurationError(
            'sentinel= is {"sentinels": [("host", 26379), …], "name": "mymaster"}'
            + (f", without {', '.join(sorted(map(str, unknown)))}" if unknown else "")
        )
    own = {**options, **{key: sentinel[key] for key in ("username", "password") if key in sentinel}}
    for_sentinels = {
        key.removeprefix("sentinel_"): value
        for source in (own, sentinel)
        for key, value in source.items()
        if key in ("sentinel_password", "sentinel_username")
    }
    server = {key: value for key, value in own.items() if not key.startswith("sentinel_")}
    shared = {key: value for key, value in server.items() if key.startswith(("socket_", "ssl", "connection_class"))}
    quick = {"socket_timeout": SENTINEL_TIMEOUT_S, "socket_connect_timeout": SENTINEL_TIMEOUT_S}
    nodes = [_address(node, SENTINEL_PORT) for node in sentinel["sentinels"]]
    return Endpoint(
        server, nodes=nodes, master=str(sentinel["name"]), sentinel_options={**quick, **shared, **for_sentinels}
    )


def _address(node: Any, port: int) -> Address:
    """From a pair, a mapping with host and port, or ``host:port``."""
    try:
        host, number = _host_and_port(node, port)
    except (KeyError, TypeError, ValueError):
        # A text is not shown: it is of a URL, and where a password is not quoted, a part of it stands here.
        shown = "a host" if isinstance(node, str) else repr(node)
        raise ConfigurationError(f"{shown} is no address: give (host, port), 'host:port' or a mapping") from None
    if not 0 < number < 65536:
        raise ConfigurationError("the port of an address is wrong: give a number from 1 to 65535")
    return host, number


def _host_and_port(node: Any, port: int) -> Address:
    if isinstance(node, str):
        # More colons are those of an IPv6 address.
        has_port = re.search(r":\d+$", node) or node.count(":") == 1
        host, _, number = node.rpartition(":") if has_port else (node, "", str(port))
        return host.strip("[]"), int(number)
    if isinstance(node, Mapping):
        return str(node["host"]), int(node.get("port", port))
    host, number = node
    return str(host), int(number)
