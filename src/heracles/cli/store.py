"""Which store a command works on: what was given for it, what the app's queues declare, or the default."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from heracles.cli.settings import Settings
from heracles.cli.usage import UsageError
from heracles.errors import ConfigurationError, OptionError
from heracles.model import Value
from heracles.queue import Queue
from heracles.transport import Transport
from heracles.wiring import Recipe, build_transport, default_transport, overlaid, recipe_of_connection, recipe_of_url

#: Options of a transport that a command may change.
_CHANGEABLE = ("key_prefix", "lease")


class Choice(Value, frozen=True, kw_only=True):
    """What was given of a store, on the command line or in the configuration file."""

    recipe: Recipe | None
    """From ``--url`` or ``--redis``."""
    options: Mapping[str, Any]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was given: each queue is where the program says."""
        return self.recipe is None and not self.options


def read_choice(settings: Settings) -> Choice:
    """What was given.

    Raises:
        UsageError: two stores were given, or one that cannot be used.
    """
    name, value = _named(settings)
    try:
        recipe = recipe_of_url(value) if name == "url" else recipe_of_connection(value) if name else None
    except ConfigurationError as error:
        raise UsageError(f"{'--url' if name == 'url' else '--redis'}: {error}") from error
    options = {option: settings.given(option) for option in _CHANGEABLE if settings.given(option) is not None}
    return Choice(recipe=recipe, options=options)


def choose_store(choice: Choice, queues: Iterable[str]) -> Transport:
    """The one store on which all of these queues are.

    Raises:
        UsageError: a queue is declared elsewhere, or they are on several.
    """
    # Declared ones first: of transports on one store theirs has the options that the program gave.
    in_order = sorted(queues, key=lambda name: _declared(name) is None)
    return _one({queue: _store_of(queue, choice) for queue in in_order}) or _undeclared(choice)


def find_store(settings: Settings) -> Transport:
    """The store of a command that looks at queues: the given ones, or all of the app's that agree with what was given.

    Raises:
        UsageError: as for ``choose_store``.
    """
    choice = read_choice(settings)
    if settings.queues is not None:
        return choose_store(choice, settings.queues)
    declared = {name: transport for name in Queue.get_all() if (transport := _declared(name)) is not None}
    wanted = {name: _changed(transport, choice) for name, transport in declared.items()}
    agreeing = {name: found for name, found in wanted.items() if found.identity == declared[name].identity}
    return _one(agreeing) or _undeclared(choice)


def stores_of(queues: Iterable[str]) -> Sequence[Transport]:
    """The stores on which the program says that these queues are."""
    found = [_declared(queue) or default_transport() for queue in queues]
    return list({transport.identity: transport for transport in found}.values())


async def queues_of(transport: Transport, settings: Settings) -> Sequence[str]:
    """The names that were given, else all that the store knows."""
    return settings.queues or await transport.queues()


@asynccontextmanager
async def using(transport: Transport) -> AsyncIterator[Transport]:
    """The transport, reached; let go of at the end."""
    try:
        await transport.open()
        yield transport
    finally:
        await transport.close()


def _one(stores: Mapping[str, Transport]) -> Transport | None:
    """The first, if all are on one store; None of none."""
    places: dict[str, str] = {}
    for queue, transport in stores.items():
        places.setdefault(transport.identity, queue)
    if len(places) > 1:
        listed = ", ".join(f"{queue} on {identity}" for identity, queue in places.items())
        raise UsageError(f"queues are on different stores: {listed}: give --queues of one store, or name the store")
    return next(iter(stores.values()), None)


def _named(settings: Settings) -> tuple[str | None, Any]:
    """Which option names the store, and its value; the command line before the file."""
    for layer, words in ((settings.flags, "--url and --redis"), (settings.file.settings, "url and redis in the file")):
        given = [name for name in ("url", "connection") if layer.get(name) is not None]
        if len(given) > 1:
            raise UsageError(f"{words} name two stores: give one of them")
        if given:
            return given[0], layer[given[0]]
    return None, None


def _declared(queue: str) -> Transport | None:
    known = Queue.get_all().get(queue)
    return known.declared_transport if known is not None else None


def _store_of(queue: str, choice: Choice) -> Transport:
    declared = _declared(queue)
    if declared is None:
        return _undeclared(choice)
    wanted = _changed(declared, choice)
    if wanted.identity != declared.identity:
        raise UsageError(
            f"queue {queue!r} is declared on {declared.identity}, but {wanted.identity} was given: "
            "leave the option out or change the declaration, so that workers are where producers write"
        )
    return wanted


def _changed(declared: Transport, choice: Choice) -> Transport:
    """The declared transport with what was given in place of what it says: the same store, if the two agree."""
    if choice.is_empty:
        return declared
    if choice.recipe is None:
        return _made(lambda: overlaid(declared, choice.options))
    if not isinstance(declared, choice.recipe.kind):
        return _undeclared(choice)
    return _made(partial(overlaid, declared, {**choice.recipe.options, **choice.options}))


def _undeclared(choice: Choice) -> Transport:
    if choice.recipe is None:
        return _made(lambda: default_transport(choice.options))
    return _made(partial(build_transport, choice.recipe.kind, {**choice.recipe.options, **choice.options}))


def _made(make: Callable[[], Transport]) -> Transport:
    try:
        return make()
    except OptionError as error:
        raise UsageError(f"{error}: a key prefix is for Redis" if "key_prefix" in str(error) else str(error)) from error
