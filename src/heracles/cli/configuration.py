"""The configuration file, JSON or TOML: its keys are those of ``heracles.options``, in camelCase."""

import difflib
import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from heracles.cli.parsing import check_as
from heracles.cli.usage import UsageError
from heracles.errors import OptionError, shown
from heracles.model import Value
from heracles.options import Option, Scope, check_queue_name, options_of

_KEYS: Mapping[str, Option] = {option.config_key: option for option in options_of(Scope.WORK) if option.config_key}
#: What the table of one queue may say.
_QUEUE_KEYS: Mapping[str, Option] = {key: option for key, option in _KEYS.items() if Scope.QUEUE in option.scopes}


class Configuration(Value, frozen=True, kw_only=True):
    """What a file says, checked, by option names."""

    settings: Mapping[str, Any] = {}
    queues: Mapping[str, Mapping[str, Any]] | None = None
    """The queues to serve with the settings of each; None where the file does not name any."""


def read_configuration(path: str) -> Configuration:
    """What the file at that path says.

    Raises:
        UsageError: it cannot be read, is neither JSON nor TOML, has an unknown key or a value of the wrong type.
    """
    document = _document(Path(path))
    queues = _queues(path, document.pop("queues")) if "queues" in document else None
    return Configuration(settings=_checked(path, document, _KEYS), queues=queues)


def queue_names(text: str) -> tuple[str, ...]:
    """Names separated by commas, each once, in order.

    Raises:
        OptionError: one of them is no queue name.
    """
    return tuple(dict.fromkeys(check_queue_name(name.strip()) for name in text.split(",")))


def _document(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = _parser_of(path)(text)
    except OSError as error:
        raise UsageError(f"--config: cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--config: {path} is not UTF-8 text: save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--config: {path} is not valid {path.suffix[1:].upper()}: {error}") from None
    if not isinstance(document, dict):
        raise UsageError(f'--config: {path} has to be one table of settings, such as {{"id": "worker-1"}}')
    return document


def _parser_of(path: Path) -> Callable[[str], Any]:
    match path.suffix.lower():
        case ".toml":
            return tomllib.loads
        case ".json":
            return _json
        case _:
            raise UsageError(f"--config: cannot tell what {path} is: give a file named .json or .toml")


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has the key {twice!r} twice")
    return table


def _queues(path: str, value: Any) -> Mapping[str, Mapping[str, Any]]:
    if not value or not isinstance(value, str | list | dict):
        raise UsageError(
            f"--config: {path}: queues={shown(value)} is not allowed: "
            "give names separated by commas, a list, or a table"
        )
    try:
        names = queue_names(value) if isinstance(value, str) else tuple(dict.fromkeys(map(check_queue_name, value)))
    except OptionError as error:
        raise UsageError(f"--config: {path}: queues: {error}") from None
    tables = value if isinstance(value, dict) else {}
    return {name: _queue(path, name, tables.get(name, {})) for name in names}


def _queue(path: str, name: str, table: Any) -> Mapping[str, Any]:
    if not isinstance(table, dict):
        raise UsageError(
            f"--config: {path}: queues.{name}={shown(table)} is not allowed: give a table of {', '.join(_QUEUE_KEYS)}"
        )
    return _checked(path, table, _QUEUE_KEYS, f"queues.{name}.")


def _checked(path: str, table: Mapping[str, Any], known: Mapping[str, Option], where: str = "") -> Mapping[str, Any]:
    settings = {}
    for key, value in table.items():
        option = known.get(key)
        if option is None:
            raise UsageError(f"--config: {path} has an unknown key {where}{key}{_way_out(key, known)}")
        try:
            settings[option.name] = check_as(where + key, option, value)
        except UsageError as error:
            raise UsageError(f"--config: {path}: {error}") from None
    return settings


def _way_out(key: str, known: Mapping[str, Option]) -> str:
    close = difflib.get_close_matches(key, list(known), n=1)
    return f": did you mean {close[0]}?" if close else f": it takes {', '.join(known)}"
