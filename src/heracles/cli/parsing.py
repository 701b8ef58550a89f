"""The arguments of a command: flags made from ``heracles.options``, and errors of one line."""

import argparse
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from heracles._version import __version__
from heracles.cli.commands import COMMANDS, Command
from heracles.cli.usage import UsageError
from heracles.errors import OptionError
from heracles.model import Value
from heracles.options import OPTIONS, Option, Unit, options_of

_METAVARS = {Unit.MS: "MS", Unit.SECONDS: "S", Unit.BYTES: "BYTES", Unit.COUNT: "N"}
_TEXT_METAVARS = {
    "id": "NAME",
    "queues": "NAMES",
    "queue": "NAME",
    "connection": "NAME",
    "key_prefix": "PREFIX",
    "app": "MODULE",
    "config": "FILE",
    "url": "URL",
}
_ENVIRONMENT = """\
environment:
  HERACLES_APP               the module that registers the jobs
  HERACLES_URL               the store, such as redis://localhost:6379 or sqlite:///jobs.db
  HERACLES_REDIS_<NAME>_URL  registers a Redis connection, for --redis=<name>
  HERACLES_REDIS_URL         the connection "default", else REDIS_URL

heracles COMMAND --help shows the options of a command."""
#: What --help shows before the rest.
_FIRST = ("id", "queues", "queue", "app", "config", "url", "connection", "key_prefix")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


#: Under this name stands the id of the job that a command is about; no option is called so.
SUBJECT = "job"


class Parsed(Value, frozen=True, kw_only=True):
    """A command, and those of its options that were given, checked, by their names in ``heracles.options``.

    What it takes besides options is under ``SUBJECT``.
    """

    command: str
    given: Mapping[str, Any]


def parse(arguments: Sequence[str]) -> Parsed:
    """What was asked for. Prints and exits by itself for ``--help`` and ``--version``.

    Raises:
        UsageError: the arguments are wrong; the message says what to do.
    """
    if not arguments or arguments[0] not in COMMANDS:
        _no_command(arguments)
    command = COMMANDS[arguments[0]]
    parser = _command_parser(command)
    found, rest = parser.parse_known_args(arguments[1:])
    if rest:
        parser.error(_unknown(rest[0], command))
    given = {name: text if name == SUBJECT else _checked(name, command, text) for name, text in vars(found).items()}
    return Parsed(command=command.name, given=given)


def parsers() -> Mapping[str, argparse.ArgumentParser]:
    """The parser of each command, and under an empty name that of ``heracles`` itself."""
    return {"": _top_parser()} | {name: _command_parser(command) for name, command in COMMANDS.items()}


def check_as(spelling: str, option: Option, value: Any) -> Any:
    """The checked value of an option that the user gave under that spelling.

    Raises:
        UsageError: it is not allowed; names the spelling and what is.
    """
    try:
        return msgspec.structs.replace(option, name=spelling).check(value)
    except OptionError as error:
        # Outside Python there are no timedeltas to give, and truth is written otherwise.
        text = str(error).replace(" (or a timedelta)", "").replace("give True or False", "give true or false")
        raise UsageError(text) from None


class _Parser(argparse.ArgumentParser):
    """Raises what it has to say against the arguments, without the usage text."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message.removeprefix('argument ')}; see {self.prog} --help")


class _Once(argparse.Action):
    """Keeps the text, and refuses a second one, which would silently replace the first."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if hasattr(namespace, self.dest):
            parser.error(f"{option_string} is given twice: give it once")
        setattr(namespace, self.dest, values)


def _top_parser() -> _Parser:
    width = max(map(len, COMMANDS))
    lines = [f"  {command.name:<{width}}  {command.summary}" for command in COMMANDS.values()]
    parser = _Parser(
        prog="heracles",
        usage="heracles [--help] [--version] COMMAND [OPTIONS]",
        description="Background jobs on Redis or on one SQLite file.",
        epilog="commands:\n" + "\n".join(lines) + f"\n\n{_ENVIRONMENT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"heracles {__version__}")
    return parser


def _no_command(arguments: Sequence[str]) -> NoReturn:
    parser = _top_parser()
    _, rest = parser.parse_known_args(arguments)
    if not rest:
        parser.error(f"give a command: {', '.join(COMMANDS)}")
    if rest[0].startswith("-"):
        parser.error(f"unknown option {_name_of(rest[0])}")
    parser.error(f"unknown command {rest[0]!r}: give one of {', '.join(COMMANDS)}{_hint(rest[0], COMMANDS)}")


def _command_parser(command: Command) -> _Parser:
    parser = _Parser(
        prog=f"heracles {command.name}",
        description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        epilog=f"examples:\n{command.examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    if command.subject:
        parser.add_argument(SUBJECT, metavar=command.subject, help="the job's dispatch id or job id")
    for option in _options(command):
        _add(parser, option, command)
    return parser


def _options(command: Command) -> tuple[Option, ...]:
    options = options_of(command.scope) if command.scope else ()
    return tuple(
        sorted(options, key=lambda option: _FIRST.index(option.name) if option.name in _FIRST else len(_FIRST))
    )


def _add(parser: _Parser, option: Option, command: Command) -> None:
    if option.unit is Unit.FLAG and option.config_key is None:
        # There is no configuration to overrule, so that nobody ever needs to say false.
        parser.add_argument(*option.flags, action="store_const", dest=option.name, const="true", help=option.help)
        return
    default = command.defaults.get(option.name) or _shown(option.default)
    flag = option.unit is Unit.FLAG
    parser.add_argument(
        *option.flags,
        action=_Once,
        dest=option.name,
        nargs="?" if flag else None,
        const="true" if flag else None,
        metavar=_metavar(option),
        help=argparse.SUPPRESS if option.name in command.unshown else _help_text(option, default),
    )


def _metavar(option: Option) -> str:
    if option.unit is Unit.FLAG:
        return "true|false"
    return "|".join(option.choices) or _TEXT_METAVARS.get(option.name) or _METAVARS[option.unit]


def _help_text(option: Option, default: str) -> str:
    unit = {Unit.MS: ", in milliseconds", Unit.SECONDS: ", in seconds"}.get(option.unit, "")
    return f"{option.help}{unit} (default: {default})"


def _shown(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _checked(name: str, command: Command, text: str) -> Any:
    option = OPTIONS[name]
    try:
        return check_as(option.flags[0], option, _typed(option, text))
    except UsageError as error:
        raise UsageError(f"heracles {command.name}: {error}") from None


def _typed(option: Option, text: str) -> Any:
    match option.unit:
        case Unit.FLAG:
            return True if text.lower() in _TRUE else False if text.lower() in _FALSE else text
        case Unit.TEXT | Unit.CHOICE:
            return text
        case _:
            return _number(text)


def _number(text: str) -> int | float | str:
    """The number, or the text itself where it is none: the option's check then names it and what is allowed."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _unknown(argument: str, command: Command) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}: {_only(command)}options begin with --"
    flags = [flag for option in _options(command) for flag in option.flags]
    name = _name_of(argument)
    return f"unknown option {name}{_hint(name, flags)}"


def _only(command: Command) -> str:
    return f"give one {command.subject}, and " if command.subject else ""


def _name_of(argument: str) -> str:
    return argument.partition("=")[0]


def _hint(given: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(given, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
