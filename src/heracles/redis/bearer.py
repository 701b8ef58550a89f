"""What redis-py makes of options and URLs, for all that is not plain: TLS, credential providers, classes of its users.

Imported by name and only then. Its connections are made to be read, and never connected.
"""

from collections.abc import Mapping
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisError

from heracles.redis.access import Access

Bearer = Connection | UnixDomainSocketConnection


def options_of(url: str) -> dict[str, Any]:
    """The options that a URL stands for.

    Raises:
        ValueError: a value is not what it has to be.
    """
    return dict(parse_url(url))


def access_of(options: Mapping[str, Any]) -> Access:
    """What these options say.

    Raises:
        TypeError: there is no such option, or a value is of the wrong type.
        ValueError: a value is not what it has to be.
    """
    given = dict(options)
    has_tls = given.pop("ssl", False)
    kind = given.pop("connection_class", None) or _kind(given, has_tls)
    try:
        made = kind(**given)
    except RedisError as error:
        raise ValueError(str(error)) from error
    if not isinstance(made, Bearer):
        raise TypeError("connection_class is not a connection of redis.asyncio")
    return _read(made)


def _kind(options: Mapping[str, Any], has_tls: bool) -> type[Bearer]:
    if "path" in options:
        return UnixDomainSocketConnection
    return SSLConnection if has_tls else Connection


def _read(made: Bearer) -> Access:
    place: dict[str, Any]
    if isinstance(made, UnixDomainSocketConnection):
        place = {"path": made.path}
    else:
        place = {"host": made.host, "port": int(made.port)}
    return Access(
        **place,
        db=made.db,
        username=made.username,
        password=made.password,
        credential_provider=made.credential_provider,
        client_name=made.client_name,
        socket_timeout=made.socket_timeout,
        socket_connect_timeout=getattr(made, "socket_connect_timeout", None),
        tls=made.ssl_context.get if isinstance(made, SSLConnection) else None,
    )
