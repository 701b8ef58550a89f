"""What was asked for: the command line, and under it the configuration file."""

from collections.abc import Mapping
from typing import Any

from heracles.cli.configuration import Configuration, queue_names, read_configuration
from heracles.cli.usage import UsageError
from heracles.errors import OptionError
from heracles.model import Value
from heracles.options import Scope, first_given, options_of

#: What a queue takes from the layers below it: all but ``concurrency``, which on the command line is the worker's.
_QUEUE_SETTINGS = tuple(option.name for option in options_of(Scope.QUEUE))


class Settings(Value, frozen=True, kw_only=True):
    """All that was given, by option names. Options on the command line win over the file."""

    flags: Mapping[str, Any]
    file: Configuration = Configuration()

    def given(self, name: str) -> Any:
        """The option's value, or None where neither says anything."""
        value = self.flags.get(name)
        return self.file.settings.get(name) if value is None else value

    def value(self, name: str) -> Any:
        """The option's value, its default where neither says anything."""
        return first_given(name, (self.flags, self.file.settings))

    @property
    def queues(self) -> tuple[str, ...] | None:
        """The names of the queues, or None where neither says anything; ``--queue`` names one."""
        if "queue" in self.flags:
            return (self.flags["queue"],)
        if "queues" in self.flags:
            return _queue_names(self.flags["queues"])
        return None if self.file.queues is None else tuple(self.file.queues)

    def of_queue(self, queue: str) -> Mapping[str, Any]:
        """What was given for one queue: the command line's word, else that of its own table, else of the file's top.

        ``concurrency`` comes from the queue's table alone: elsewhere it is said of the worker as a whole.
        """
        table = (self.file.queues or {}).get(queue, {})
        settings = {name: first for name in _QUEUE_SETTINGS if (first := self._first(name, table)) is not None}
        return {**settings, "concurrency": table["concurrency"]} if "concurrency" in table else settings

    def _first(self, name: str, table: Mapping[str, Any]) -> Any:
        if name == "concurrency":
            return None
        layers = (self.flags, table, self.file.settings)
        return next((layer[name] for layer in layers if layer.get(name) is not None), None)


def read_settings(flags: Mapping[str, Any]) -> Settings:
    """The flags and the configuration file that they name.

    Raises:
        UsageError: the file or a queue's name cannot be used.
    """
    path = flags.get("config")
    settings = Settings(flags=flags, file=read_configuration(path) if path else Configuration())
    _ = settings.queues  # a wrong name is told before anything else is done
    return settings


def _queue_names(text: str) -> tuple[str, ...]:
    try:
        return queue_names(text)
    except OptionError as error:
        raise UsageError(f"--queues: {error}") from None
