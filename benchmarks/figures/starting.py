"""What it costs to be there: an import, ``--help``."""

from collections.abc import Mapping

from benchmarks.catalogue import System
from benchmarks.environments import Environment
from benchmarks.figures import Measurement, is_heracles
from benchmarks.processes import cpu_of
from benchmarks.sizes import Size


def _import(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    """Above what the interpreter itself takes."""
    python = str(environment.python)
    nothing = cpu_of([python, "-c", "pass"])
    return {"import-cpu": cpu_of([python, "-c", f"import {system.package}"]) - nothing}


def _help(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    return {"help-cpu": cpu_of([str(environment.python), "-m", "heracles", "--help"])}


def _has_package(system: System) -> bool:
    return bool(system.package)


MEASUREMENTS = (
    Measurement("import", _import, _has_package),
    Measurement("help", _help, is_heracles),
)
