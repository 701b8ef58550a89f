"""How a server is reached and logged in to, and what plain options and URLs say of it, as redis-py understands them.

Most programs need nothing more; for all else ``bearer`` asks redis-py itself, whose modules take a fifth of the memory
of a worker.
"""

import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from heracles.model import Value

REDIS_PORT = 6379
#: redis-py's own, in seconds.
TIMEOUT_S = 5.0
_COMMON = frozenset(
    ("db", "username", "password", "client_name", "socket_timeout", "socket_connect_timeout", "credential_provider")
)
_TCP, _UNIX = _COMMON | {"host", "port"}, _COMMON | {"path"}
#: What may stand behind the ``?`` of a plain URL, and what it is read as.
_QUERY: Mapping[str, Callable[[str], Any]] = {
    "db": int,
    "socket_timeout": float,
    "socket_connect_timeout": float,
    "max_connections": int,
    **dict.fromkeys(("username", "password", "sentinel_username", "sentinel_password", "client_name"), str),
}


class Access(Value, frozen=True, kw_only=True):
    """Where it is, and what to say first. Nothing is connected."""

    host: str = "localhost"
    port: int = REDIS_PORT
    path: str | None = None
    """Of a unix socket, in place of host and port."""
    db: str | int = 0
    username: str | None = None
    password: str | None = None
    credential_provider: Any = None
    """Of redis-py: asked for each connection."""
    client_name: str | None = None
    socket_timeout: float | None = TIMEOUT_S
    socket_connect_timeout: float | None = TIMEOUT_S
    tls: Callable[[], ssl.SSLContext] | None = None
    """Makes the context, which reads files; None: no TLS."""

    def __repr__(self) -> str:
        # Without a password.
        return f"<Access to {self.path or f'{self.host}:{self.port}'}>"


def plain_access(options: Mapping[str, Any]) -> Access | None:
    """What these options say; None where only redis-py knows.

    Raises:
        TypeError: a port is of the wrong type.
        ValueError: a port is no number.
    """
    given = dict(options)
    names = _UNIX if "path" in given else _TCP
    # Who gives both names and a provider is told by redis-py that it cannot be.
    if given.pop("ssl", False) or not given.keys() <= names or given.get("credential_provider") is not None:
        return None
    if "port" in given:
        given["port"] = int(given["port"])
    if given.get("socket_connect_timeout", TIMEOUT_S) is None:
        given["socket_connect_timeout"] = given.get("socket_timeout", TIMEOUT_S)
    return Access(**given)


def plain_options(url: str) -> dict[str, Any] | None:
    """The options that a URL stands for; None where only redis-py knows.

    Raises:
        ValueError: a value is not what it has to be.
    """
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if parts.scheme not in ("redis", "unix") or not query.keys() <= _QUERY.keys():
        return None
    options = {name: _QUERY[name](value) for name, value in query.items()}
    users = {"username": parts.username, "password": parts.password}
    options |= {name: unquote(value) for name, value in users.items() if value}
    return options | ({"path": unquote(parts.path)} if parts.scheme == "unix" else _address(parts, options))


def _address(parts: SplitResult, options: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if parts.hostname:
        found["host"] = unquote(parts.hostname)
    if parts.port:
        found["port"] = parts.port
    if "db" not in options:
        # A path that is no number says nothing, as in redis-py.
        with suppress(ValueError):
            found["db"] = int(unquote(parts.path).replace("/", ""))
    return found
