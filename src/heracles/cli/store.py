"""Which store a command works on: what was given for it, what the app's queues declare, or the default."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from heracles.cli.settings import Settings
from heracles.cli.usage import StartError, UsageError, warn
from heracles.errors import ConfigurationError, OptionError, TransportUnavailableError
from heracles.queue import Queue
from heracles.transport import Transport
from heracles.wiring import Recipe, is_there, recipe_of_connection, recipe_of_url, use_by_default
from heracles.worker.source import Source

#: Options of a transport that a command may change.
_CHANGEABLE = ("key_prefix", "lease")
#: What the systems' resolvers say of a host name that has no address.
_NO_SUCH_HOST = re.compile(
    "name or service not known|nodename nor servname|name resolution|no address associated", re.I
)
#: Of the queues that a store knows, a warning names this many.
_MOST_NAMED = 20


def read_source(settings: Settings) -> Source:
    """What was given of a store, on the command line or in the configuration file; where queues are with it.

    Raises:
        UsageError: two stores were given, or one that cannot be used.
    """
    recipe = _named(settings)
    options = {option: settings.given(option) for option in _CHANGEABLE if settings.given(option) is not None}
    return Source(recipe=None if recipe is None else lambda: recipe, options=options)


def choose_store(source: Source, queues: Iterable[str]) -> Transport:
    """The one store on which all of these queues are.

    Raises:
        UsageError: a queue is declared elsewhere, or they are on several.
    """
    # Declared ones first: of transports on one store theirs has the options that the program gave.
    in_order = sorted(queues, key=lambda queue: not _is_declared(queue))
    return _one({queue: _store_of(source, queue) for queue in in_order}) or _undeclared(source)


def stores_of(source: Source, queues: Iterable[str]) -> Sequence[Transport]:
    """All stores on which these queues are.

    Raises:
        UsageError: a queue is declared elsewhere.
    """
    found = [_store_of(source, queue) for queue in queues]
    return list({transport.identity: transport for transport in found}.values())


def find_store(settings: Settings) -> Transport:
    """The store of a command that looks at queues: the given ones, or all of the app's that agree with what was given.

    Raises:
        UsageError: as for ``choose_store``.
    """
    source = read_source(settings)
    if settings.queues is not None:
        return choose_store(source, settings.queues)
    agreeing = {}
    for queue in filter(_is_declared, Queue.get_all()):
        try:
            agreeing[queue] = source.transport_of(queue)
        except OptionError:
            continue  # it is elsewhere, and nobody asked for this queue
    return _one(agreeing) or _undeclared(source)


async def queues_of(transport: Transport, settings: Settings, consequence: str = "") -> Sequence[str]:
    """The names that were given, else all that the store knows.

    Warns of names that neither the store nor a live worker knows, adding the ``consequence``.
    """
    known = await transport.queues()
    if settings.queues is None:
        return known
    served = {queue for worker in await transport.workers() for queue in worker.queues}
    unknown = [name for name in settings.queues if name not in served.union(known)]
    if unknown:
        warn(f"no queue named {', '.join(unknown)} in this store{consequence}; known: {_listed(known)}")
    return settings.queues


def _listed(names: Sequence[str]) -> str:
    more = [f"and {len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return ", ".join([*names[:_MOST_NAMED], *more]) or "none"


@asynccontextmanager
async def looking_at(transport: Transport) -> AsyncIterator[Transport | None]:
    """The transport, reached; None, with a warning, where its file is not there: looking at it makes no file."""
    if not is_there(transport):
        warn(_no_store_yet(transport))
        yield None
        return
    async with using(transport):
        yield transport


@asynccontextmanager
async def one_queue(settings: Settings) -> AsyncIterator[Queue]:
    """The queue that ``--queue`` names, on the store where it is.

    Raises:
        UsageError: as for ``choose_store``.
        StartError: there is no store yet.
    """
    name = settings.value("queue")
    # Raises where what was given and what the app declares differ; else both lead to one store.
    use_by_default(choose_store(read_source(settings), [name]))
    queue = Queue.get(name)
    if not is_there(queue.transport):
        raise StartError(_no_store_yet(queue.transport))
    async with using(queue.transport):
        yield queue


def how_to_reach(error: TransportUnavailableError) -> str:
    """What to do first where a store cannot be reached."""
    # By the text, which is all that a connection made by Sentinels or to a cluster leaves of the cause.
    return "check the host name" if _NO_SUCH_HOST.search(str(error)) else "start the store"


def _no_store_yet(transport: Transport) -> str:
    return f"no store yet at {transport.identity}: the first dispatch makes it"


@asynccontextmanager
async def using(transport: Transport) -> AsyncIterator[Transport]:
    """The transport, reached; let go of at the end."""
    try:
        await transport.open()
        yield transport
    finally:
        await transport.close()


def _named(settings: Settings) -> Recipe | None:
    """The store that ``--url`` or ``--redis`` names; the command line before the file."""
    for layer, words in ((settings.flags, "--url and --redis"), (settings.file.settings, "url and redis in the file")):
        url, connection = layer.get("url"), layer.get("connection")
        if url is not None and connection is not None:
            raise UsageError(f"{words} name two stores: give one of them")
        try:
            if url is not None:
                return recipe_of_url(url)
            if connection is not None:
                return recipe_of_connection(connection)
        except ConfigurationError as error:
            raise UsageError(f"{'--redis' if url is None else '--url'}: {error}") from error
    return None


def _is_declared(queue: str) -> bool:
    known = Queue.get_all().get(queue)
    return known is not None and known.declared_transport is not None


def _store_of(source: Source, queue: str) -> Transport:
    try:
        return source.transport_of(queue)
    except OptionError as error:
        raise UsageError(_with_way_out(error)) from error


def _undeclared(source: Source) -> Transport:
    try:
        return source.undeclared()
    except OptionError as error:
        raise UsageError(_with_way_out(error)) from error


def _with_way_out(error: OptionError) -> str:
    if "no option 'key_prefix'" in str(error):
        return (
            "--key-prefix is for Redis, and the store is an SQLite file: leave it out, or give --redis or a Redis --url"
        )
    return str(error)


def _one(stores: Mapping[str, Transport]) -> Transport | None:
    """The first, if all are on one store; None of none."""
    places: dict[str, Any] = {}
    for queue, transport in stores.items():
        places.setdefault(transport.identity, queue)
    if len(places) > 1:
        listed = ", ".join(f"{queue} on {identity}" for identity, queue in places.items())
        raise UsageError(f"queues are on different stores: {listed}: give --queues of one store, or name the store")
    return next(iter(stores.values()), None)
