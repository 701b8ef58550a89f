"""Which module registers the jobs, and importing it."""

import importlib
import os
import re
import sys
import tomllib
import traceback
from pathlib import Path

from heracles.cli.settings import Settings
from heracles.cli.signals import StoppedError
from heracles.cli.usage import UsageError, warn

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_PYPROJECT = "pyproject.toml"
_DEFAULT = "jobs"
_PACKAGE = str(Path(__file__).parent.parent) + os.sep
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
#: The folders of what is installed, a Debian's included.
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def import_app(settings: Settings) -> None:
    """Import the app, by which its jobs, queues and connections become known.

    Raises:
        UsageError: none is named or found, it does not exist, or it raises.
    """
    name = find_app(settings)
    if name is None:
        raise UsageError(
            "no app to take jobs from: give --app=MODULE, set HERACLES_APP, write app under [tool.heracles] in "
            f"./{_PYPROJECT}, or make a module {_DEFAULT} ({_DEFAULT}.py) in this directory"
        )
    load_module(name)


def import_app_if_any(settings: Settings) -> None:
    """The same for a command that can do without: it does where the store was named, and the app was not.

    An operator must be able to look at a store and to mend it while the code beside them is broken.
    """
    try:
        name = find_app(settings)
        if name is not None:
            load_module(name)
    except UsageError as error:
        if settings.given("app") is not None:
            raise
        if settings.given("url") is None and settings.given("connection") is None:
            raise UsageError(f"{error}: mend it, or name the store by --url to go on without it") from error
        warn(f"{error}: going on without it, as if it declared no queues, key prefixes or connections")


def find_app(settings: Settings) -> str | None:
    """Its name: ``--app`` or the configuration file, ``HERACLES_APP``, ./pyproject.toml, a module ``jobs`` here."""
    return settings.given("app") or os.environ.get("HERACLES_APP") or _from_pyproject() or _module_here()


def load_module(name: str) -> None:
    """Import it, the working directory included.

    Raises:
        UsageError: it does not exist or raises.
    """
    if not _MODULE.fullmatch(name) or name.endswith(".py"):
        raise UsageError(f"app {name!r:.200} is no module name: {_as_module(name)}")
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        importlib.import_module(name)
    except StoppedError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        raise UsageError(_why(name, error)) from error


def _from_pyproject() -> str | None:
    path = Path(_PYPROJECT)
    if not path.is_file():
        return None
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the app from ./{_PYPROJECT}: {error}") from None
    tool = tables.get("tool")
    section = tool.get("heracles") if isinstance(tool, dict) else None
    app = section.get("app") if isinstance(section, dict) else None
    if app is not None and not (isinstance(app, str) and app):
        raise UsageError(f"[tool.heracles] app in ./{_PYPROJECT} has to be the name of a module, not {app!r:.80}")
    return app


def _module_here() -> str | None:
    found = Path(f"{_DEFAULT}.py").is_file() or Path(_DEFAULT, "__init__.py").is_file()
    return _DEFAULT if found else None


def _as_module(name: str) -> str:
    path = name.removesuffix(".py").removeprefix("./").strip("/").replace("/", ".")
    if _MODULE.fullmatch(path):
        return f"give --app={path}"
    return "give names joined by dots, such as myapp.jobs"


def _why(name: str, error: BaseException) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and (name == missing or name.startswith(f"{missing}.")):
        return f"there is no module {name!r} (looked in {os.getcwd()} and where Python looks): check --app"
    message = traceback.format_exception_only(error)[-1].strip()
    return f"the app {name!r} could not be imported: {message}{_where(error)}"


def _where(error: BaseException) -> str:
    """The innermost line of the user's code, which is where to look first."""
    # What a parser that the app calls says of its own input names no file.
    if isinstance(error, SyntaxError) and error.filename and not error.filename.startswith("<"):
        return f" ({error.filename}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_importing(frame.filename)]
    # An app that is itself installed has none of its own: there the last is where it happened.
    found = [frame for frame in frames if _is_users(frame.filename)] or frames
    return f" ({found[-1].filename}, line {found[-1].lineno})" if found else ""


def _is_importing(filename: str) -> bool:
    return filename.startswith(("<", _PACKAGE, os.path.dirname(importlib.__file__)))


def _is_users(filename: str) -> bool:
    return not filename.startswith(_STANDARD_LIBRARY) and _INSTALLED.isdisjoint(Path(filename).parts)
