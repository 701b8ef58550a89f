"""On which store a queue is served: where the worker was told, which has to be where the program's producers write."""

from collections.abc import Callable, Mapping
from typing import Any

from heracles.errors import ConfigurationError, OptionError
from heracles.queue import Queue
from heracles.transport import Transport
from heracles.wiring import Recipe, build_transport, default_transport, overlaid


class Source:
    """What a worker was told of its transport: an instance, or how to make one, or options, or nothing.

    ``recipe`` is only called when a transport is needed: connections may be registered until then.
    """

    def __init__(
        self,
        instance: Transport | None = None,
        recipe: Callable[[], Recipe] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._instance = instance
        self._recipe = recipe
        self._options = options or {}

    @classmethod
    def of(cls, transport: type[Transport] | Transport | None, options: Mapping[str, Any] | None) -> "Source":
        """From what users give: an instance, or a class and its options.

        Raises:
            OptionError: options beside an instance, or ones that the class does not take.
        """
        if transport is None:
            return cls(options=options)
        made = build_transport(transport, options)
        if isinstance(transport, type):
            return cls(recipe=lambda: Recipe(transport, {}), options=options)
        return cls(instance=made)

    def check(self, queue: str) -> None:
        """Raise OptionError if the program declares the queue elsewhere, as far as that can be told by now."""
        try:
            self.transport_of(queue)
        except ConfigurationError:
            return  # a connection that is not registered yet: at the start it has to be

    def transport_of(self, queue: str) -> Transport:
        """Where to serve it.

        Raises:
            OptionError: the program declares it elsewhere.
            ConfigurationError: the connection or URL cannot be used.
        """
        declared = Queue.get(queue).declared_transport if Queue.exists(queue) else None
        if declared is None:
            return self.undeclared()
        wanted = self._changed(declared)
        if wanted is not declared and wanted.identity != declared.identity:
            raise OptionError(
                f"queue {queue!r} is declared on {declared.identity}, but the worker was given {wanted.identity}: "
                "leave that out, or change the declaration, so that the worker is where the producers write"
            )
        return wanted

    @property
    def is_told(self) -> bool:
        """Whether the worker was told anything."""
        return self._instance is not None or self._recipe is not None or bool(self._options)

    def undeclared(self) -> Transport:
        """Where queues are that the program does not declare to be anywhere."""
        if self._instance is not None:
            return self._instance
        if self._recipe is None:
            return default_transport(self._options)
        recipe = self._recipe().with_options(self._options)
        return build_transport(recipe.kind, recipe.options)

    def _changed(self, declared: Transport) -> Transport:
        """The declared transport with what the worker was told in place of what it says."""
        if self._instance is not None:
            return self._instance
        if self._recipe is None:
            return overlaid(declared, self._options)
        recipe = self._recipe().with_options(self._options)
        return overlaid(declared, recipe.options) if isinstance(declared, recipe.kind) else self.undeclared()


def settings_given(queue: str) -> Mapping[str, Any]:
    """What ``Queue.get`` was given for that queue in this program."""
    return Queue.get(queue).settings_given if Queue.exists(queue) else {}
