"""The order of a run: every measurement of every system in turn, as often as the size says."""

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.catalogue import System
from benchmarks.environments import Environment, own, prepare_all
from benchmarks.figures import Measurement, dispatching, processing, scale, starting, waiting, weight
from benchmarks.limits import limits
from benchmarks.measure import SIZES
from benchmarks.processes import FailedError
from benchmarks.results import Failure, Results
from benchmarks.servers import version
from benchmarks.survival import survive_all

MEASUREMENTS: Sequence[Measurement] = (
    *dispatching.MEASUREMENTS,
    *processing.MEASUREMENTS,
    *waiting.MEASUREMENTS,
    *starting.MEASUREMENTS,
    *weight.MEASUREMENTS,
    *scale.MEASUREMENTS,
)

Tell = Callable[[str], None]


class Plan:
    """One run of the benchmark."""

    def __init__(
        self, systems: Sequence[System], size: str, only: Sequence[str], tell: Tell, repeats: int | None = None
    ) -> None:
        self._systems = systems
        self._size_name = size
        self._size = SIZES[size]
        self._repeats = repeats or self._size.repeats
        self._only = only
        self._tell = tell

    def run(self) -> Results:
        """Install what is missing, then measure."""
        environments, failed = prepare_all(_needed(self._systems), self._tell)
        here = own()
        usable = {
            system: environments[system.environment] if system.environment else here
            for system in self._systems
            if system.environment is None or system.environment in environments
        }
        results = Results(self._size_name, machine(), _versions(usable))
        results.failures += [
            Failure(system.name, "install", failed[system.environment])
            for system in self._systems
            if system.environment in failed
        ]
        self._measure(usable, results)
        if self._wants("survival") and (self._only or not self._size.is_brief):
            self._tell("survival: all systems at once")
            results.survivals = survive_all(list(usable.items()), self._size)
        if self._wants("limits"):
            self._tell("limits")
            results.limits = limits(self._size)
        return results

    def _wants(self, name: str) -> bool:
        return not self._only or name in self._only

    def _measure(self, usable: Mapping[System, Environment], results: Results) -> None:
        for repeat, measurement, system in self._steps(list(usable)):
            began = time.monotonic()
            try:
                results.add(system.name, measurement.run(system, usable[system], self._size))
                outcome = "done"
            except FailedError as error:
                results.failures.append(Failure(system.name, measurement.name, str(error)))
                outcome = f"failed: {error}"
            took_s = time.monotonic() - began
            self._tell(f"{repeat}/{self._repeats} {measurement.name}: {system.name} {took_s:.1f} s, {outcome}")

    def _steps(self, systems: Sequence[System]) -> Iterator[tuple[int, Measurement, System]]:
        # Repeats are the outer loop, so that what disturbs the machine for a while does not hit one figure alone.
        for repeat in range(1, self._repeats + 1):
            for measurement in MEASUREMENTS:
                if self._wants(measurement.name) and (not measurement.is_long or (self._size.backlog and repeat == 1)):
                    yield from (
                        (repeat, measurement, system) for system in systems if self._takes_part(system, measurement)
                    )

    def _takes_part(self, system: System, measurement: Measurement) -> bool:
        # Who asks for a measurement by name wants it of all.
        is_wanted = bool(self._only) or measurement.is_core or system.name == "heracles" or not self._size.is_brief
        return is_wanted and measurement.takes_part(system)


def _needed(systems: Sequence[System]) -> list[str]:
    return list(dict.fromkeys(system.environment for system in systems if system.environment))


def _versions(usable: Mapping[System, Environment]) -> dict[str, Sequence[str]]:
    return {system.environment or "heracles": environment.versions for system, environment in usable.items()}


def machine() -> dict[str, str]:
    """On what a run was made."""
    return {
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "server": version(),
        "on": time.strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if sys.platform == "linux" and cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def measurement_names() -> list[str]:
    """What can be asked for alone."""
    return [*(measurement.name for measurement in MEASUREMENTS), "survival", "limits"]
