"""From arguments to an exit code: 0 done, 1 it could not be done, 2 it was asked for wrongly."""

import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from heracles.cli.parsing import parse
from heracles.cli.usage import StartError, UsageError, escaped
from heracles.errors import HeraclesError, TransportError

#: What a shell reports for a process that SIGINT ended.
_INTERRUPTED = 130
_PASSWORD = re.compile(r"(\w+://)\S*@")


class _CommandModule(Protocol):
    def run(self, given: Mapping[str, Any]) -> int: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and say in one line what prevented it."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except (StartError, TransportError) as error:
        return _fail(error, 1)
    except (UsageError, HeraclesError) as error:
        return _fail(error, 2)
    except BrokenPipeError:
        return _end_quietly()
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run(arguments: Sequence[str]) -> int:
    parsed = parse(arguments)
    code = _module(parsed.command).run(parsed.given)
    # Here, where a reader that has gone is caught, and not as the interpreter ends.
    sys.stdout.flush()
    return code


def _module(command: str) -> _CommandModule:
    # By name, so that ``heracles --help`` and each command import only what they need: a worker brings in the
    # transports, a demo the terminal library.
    return cast("_CommandModule", importlib.import_module(f"heracles.cli.{command}"))


def _fail(error: Exception, code: int) -> int:
    line = escaped(_PASSWORD.sub(r"\1***@", str(error)))
    print(line if line.startswith("heracles") else f"heracles: {line}", file=sys.stderr)
    return code


def _end_quietly() -> int:
    """Whoever read our output has closed it: nothing is left to say, also not by the interpreter as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
