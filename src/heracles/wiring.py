"""The composition root: from a class, a URL, a connection's name or the environment to a transport.

Only this module knows the concrete transports, and it imports each when it is first needed, so that a program on SQLite
never pays for the Redis client. Equal stores with equal options are one transport object: the queues and workers of a
process share its connections.
"""

import logging
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable
from urllib.parse import unquote

from heracles.errors import ConfigurationError, OptionError
from heracles.transport import Transport

logger = logging.getLogger("heracles")

DEFAULT_CONNECTION = "default"
#: Where jobs are kept when nothing is configured, in the working directory.
DEFAULT_PATH = "heracles.db"
MEMORY = ":memory:"
#: What names the connection "default" where code does not, the strongest first.
REDIS_VARIABLES = ("HERACLES_REDIS_DEFAULT_URL", "HERACLES_REDIS_URL", "REDIS_URL")

_REDIS_SCHEMES = frozenset(
    ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
)
_URL_FORMS = (
    "sqlite:///relative.db, sqlite:////absolute.db, redis://…, rediss://…, unix://…, redis+sentinel://… or "
    "redis+cluster://…"
)


class Recipe(NamedTuple):
    """What a transport is made from: its class and the options given to it."""

    kind: type[Transport]
    options: Mapping[str, Any]

    def with_options(self, options: Mapping[str, Any]) -> "Recipe":
        """The same with some options added or replaced."""
        return Recipe(self.kind, {**self.options, **options})


@runtime_checkable
class _TellsOptions(Protocol):
    """A transport that can be made again from its class and these options."""

    @property
    def options(self) -> Mapping[str, Any]: ...


class _Transports:
    """The transports of this process, one for each recipe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, Transport] = {}
        self._told: set[str] = set()
        self.default: Transport | None = None

    def make(self, recipe: Recipe) -> Transport:
        """The one transport of that recipe; its constructor checks the options."""
        recipe = _with_absolute_path(recipe)
        # Options are plain values, for which repr tells them apart.
        key = f"{recipe.kind.__module__}.{recipe.kind.__qualname__} {sorted(recipe.options.items())!r}"
        with self._lock:
            if key not in self._made:
                self._made[key] = recipe.kind(**recipe.options)
            return self._made[key]

    def tell_once(self, transport: Transport, origin: str) -> None:
        """Log which store is used, at its first use; ``origin`` says in words where the choice came from."""
        identity = transport.identity
        with self._lock:
            if identity in self._told:
                return
            self._told.add(identity)
        logger.info("store: %s%s", identity, f" ({origin})" if origin else "")


_transports = _Transports()


def default_transport(options: Mapping[str, Any] | None = None) -> Transport:
    """The store that is used where none is named.

    In this order: HERACLES_URL, a connection "default" registered in code, HERACLES_REDIS_URL, REDIS_URL, SQLite. The
    environment is read at each call. The first use of a store is logged.

    Args:
        options: of the transport, whichever it is.

    Raises:
        ConfigurationError: a URL cannot be used.
        OptionError: the store has no such option, or its value is not allowed.
    """
    if _transports.default is not None:
        return overlaid(_transports.default, options) if options else _transports.default
    recipe, origin = _default_recipe()
    transport = _transports.make(recipe.with_options(options or {}))
    _transports.tell_once(transport, origin)
    return transport


def tell_store(transport: Transport) -> None:
    """Log which store is used, unless this process has logged it before."""
    _transports.tell_once(transport, "")


def is_there(transport: Transport) -> bool:
    """Whether its store exists: an SQLite file is only made when it is opened, which whoever just looks need not do."""
    path = transport.options.get("path", MEMORY) if isinstance(transport, _TellsOptions) else MEMORY
    return path == MEMORY or os.path.exists(path)


def use_by_default(transport: Transport | None) -> None:
    """What ``default_transport`` returns from now on; None: the environment's choice again.

    For a process that serves one store, such as a worker: what its jobs dispatch goes where it works.
    """
    _transports.default = transport


def transport_from_url(url: str, **options: Any) -> Transport:
    """The transport of a URL: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``sqlite:///:memory:``,
    ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://``, ``redis+cluster://``.

    Raises:
        ConfigurationError: the URL cannot be used; its password is not shown.
        OptionError: the store has no such option, or its value is not allowed.
    """
    return _transports.make(recipe_of_url(url).with_options(options))


def build_transport(transport: type[Transport] | Transport | None, options: Mapping[str, Any] | None) -> Transport:
    """What a queue or a worker was given, as an instance: a class with options, an instance, or None for the default.

    Raises:
        OptionError: options beside an instance, unknown ones, or values that are not allowed.
    """
    if transport is None:
        return default_transport(options)
    if isinstance(transport, type):
        return _transports.make(Recipe(transport, options or {}))
    if not hasattr(transport, "settings"):
        raise OptionError(
            f"transport={transport!r:.80} is no transport: give RedisTransport, SqliteTransport or an instance"
        )
    if options:
        raise OptionError("transport_options go with a transport class: give an instance its options when it is made")
    return transport


def overlaid(transport: Transport, options: Mapping[str, Any]) -> Transport:
    """A transport like this one with some options added or replaced.

    Raises:
        OptionError: it is of a class that does not tell its options, or an option is not allowed.
    """
    if not options:
        return transport
    if not isinstance(transport, _TellsOptions):
        raise OptionError(f"the transport on {transport.identity} was made in code: give it {', '.join(options)} there")
    return _transports.make(Recipe(type(transport), transport.options).with_options(options))


def recipe_of_url(url: str) -> Recipe:
    """What a URL means.

    Raises:
        ConfigurationError: it cannot be used.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        return recipe_of_path(_sqlite_path(rest))
    if separator and scheme in _REDIS_SCHEMES:
        return _redis_url(url)
    begin = f"begins with {scheme[:20]!r}" if separator else "has no ://"
    raise ConfigurationError(f"cannot use a URL that {begin}: give one of {_URL_FORMS}")


def recipe_of_connection(name: str) -> Recipe:
    """The Redis connection of that name.

    Raises:
        ConfigurationError: none is registered.
    """
    from heracles.redis import Redis, RedisTransport

    Redis.connection(name)
    return Recipe(RedisTransport, {"connection": name})


def recipe_of_path(path: str) -> Recipe:
    """The SQLite file at that path."""
    from heracles.sqlite import SqliteTransport

    return Recipe(SqliteTransport, {"path": path})


def _default_recipe() -> tuple[Recipe, str]:
    """The recipe, and where the choice came from, in words."""
    if url := os.environ.get("HERACLES_URL"):
        return _of_variable("HERACLES_URL", url), "HERACLES_URL"
    if _is_default_registered():
        return recipe_of_connection(DEFAULT_CONNECTION), "the connection 'default'"
    for variable in REDIS_VARIABLES:
        if url := os.environ.get(variable):
            return _of_variable(variable, url), variable
    return recipe_of_path(DEFAULT_PATH), "no other store is configured"


def _of_variable(variable: str, url: str) -> Recipe:
    try:
        return recipe_of_url(url)
    except ConfigurationError as error:
        raise ConfigurationError(f"{variable}: {error}") from error


def _is_default_registered() -> bool:
    # Whoever has registered a connection has imported the module; nobody else should pay for importing it.
    if "heracles.redis.connections" not in sys.modules:
        return False
    from heracles.redis import Redis

    return Redis.is_registered(DEFAULT_CONNECTION)


def _redis_url(url: str) -> Recipe:
    from heracles.redis import Redis, RedisTransport

    return Recipe(RedisTransport, {"connection": Redis.register_url(url)})


def _sqlite_path(rest: str) -> str:
    if not rest.startswith("/"):
        raise ConfigurationError(
            "a sqlite URL has three slashes before a relative path and four before an absolute one: "
            "give sqlite:///relative.db or sqlite:////absolute.db"
        )
    path = unquote(rest[1:])
    if not path or path.endswith("/") or "?" in rest or "\0" in path:
        raise ConfigurationError("a sqlite URL ends with the name of a file: give sqlite:///heracles.db")
    return path


def _with_absolute_path(recipe: Recipe) -> Recipe:
    """So that a relative path means the file where the working directory was when it was first given."""
    path = recipe.options.get("path")
    if not isinstance(path, str | os.PathLike) or path == MEMORY:
        return recipe
    return recipe.with_options({"path": os.path.abspath(path)})
