"""The order of a run: every measurement of every system in turn, as often as the size says."""

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.catalogue import Group, System
from benchmarks.environments import Environment, own, prepare_all
from benchmarks.figures import (
    Measurement,
    dispatching,
    flow,
    growth,
    parts,
    processing,
    scale,
    starting,
    waiting,
    weight,
)
from benchmarks.limits import limits
from benchmarks.processes import FailedError
from benchmarks.results import Failure, Results
from benchmarks.servers import version
from benchmarks.sizes import SIZES
from benchmarks.survival import survive_all

MEASUREMENTS: Sequence[Measurement] = (
    *dispatching.MEASUREMENTS,
    *processing.MEASUREMENTS,
    *waiting.MEASUREMENTS,
    *flow.MEASUREMENTS,
    *starting.MEASUREMENTS,
    *weight.MEASUREMENTS,
    *scale.MEASUREMENTS,
    *growth.MEASUREMENTS,
    *parts.MEASUREMENTS,
)
#: What the measurements of a large store and of a killed worker take, at the size that has them.
_LARGE_STORE_S, _KILL_S = 90.0, 40.0

Tell = Callable[[str], None]
Save = Callable[[Results], None]


def _keep_nothing(results: Results) -> None:
    """For runs whose results nobody wants before they are whole."""


class Plan:
    """One run of the benchmark."""

    def __init__(
        self,
        systems: Sequence[System],
        size: str,
        only: Sequence[str],
        tell: Tell,
        repeats: int | None = None,
        save: Save = _keep_nothing,
    ) -> None:
        self._systems = systems
        self._size_name = size
        self._size = SIZES[size]
        self._repeats = repeats or self._size.repeats
        self._only = only
        self._tell = tell
        self._save = save

    def run(self) -> Results:
        """Install what is missing, then measure. Results are saved after every repeat."""
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
        self._tell(f"about {self.estimate_s(list(usable)) / 60:.0f} minutes on a machine that does nothing else")
        self._measure(usable, results)
        self._save(results)
        if self._kills:
            self._tell("survival: all systems at once")
            results.survivals = survive_all(list(usable.items()), self._size)
            self._save(results)
        if self._wants("limits"):
            self._tell("limits")
            results.limits = limits(self._size)
        return results

    def estimate_s(self, systems: Sequence[System]) -> float:
        """About how many seconds the measurements will take."""
        steps = list(self.steps(systems))
        large = sum(measurement.is_long for _, measurement, _ in steps)
        kill_s = self._size.patience_s + _KILL_S if self._kills else 0.0
        return self._size.step_s * (len(steps) - large) + _LARGE_STORE_S * large + kill_s

    @property
    def _kills(self) -> bool:
        return self._wants("survival") and (bool(self._only) or not self._size.is_brief)

    def _wants(self, name: str) -> bool:
        return not self._only or name in self._only

    def _measure(self, usable: Mapping[System, Environment], results: Results) -> None:
        before = 1
        for repeat, measurement, system in self.steps(list(usable)):
            if repeat != before:
                self._save(results)
            before, began = repeat, time.monotonic()
            try:
                results.add(system.name, measurement.run(system, usable[system], self._size))
                results.done.add((system.name, measurement.name))
                outcome = "done"
            except Exception as error:  # noqa: BLE001 - it is in the report, and must not take the others with it
                reason = str(error) if isinstance(error, FailedError) else f"{type(error).__name__}: {error}"
                results.failures.append(Failure(system.name, measurement.name, reason))
                outcome = f"failed: {reason}"
            took_s = time.monotonic() - began
            self._tell(f"{repeat}/{self._repeats} {measurement.name}: {system.name} {took_s:.1f} s, {outcome}")

    def steps(self, systems: Sequence[System]) -> Iterator[tuple[int, Measurement, System]]:
        """Repeat, measurement and system, in the order of the run."""
        # Repeats are the outer loop, so that what disturbs the machine for a while does not hit one figure alone.
        for repeat in range(1, self._repeats + 1):
            for measurement in MEASUREMENTS:
                yield from (
                    (repeat, measurement, system)
                    for system in systems
                    if self._wants(measurement.name) and self._takes_part(system, measurement, repeat)
                )

    def _takes_part(self, system: System, measurement: Measurement, repeat: int) -> bool:
        if measurement.is_long and not self._size.backlog:
            return False
        if repeat > 1 and _is_once(system, measurement):
            return False
        # Who asks for a measurement by name wants it of all.
        is_wanted = bool(self._only) or not self._size.is_brief or _is_quick(system, measurement)
        return is_wanted and measurement.takes_part(system)


def _is_once(system: System, measurement: Measurement) -> bool:
    is_main = measurement.is_core or system.group is Group.HERACLES
    return measurement.is_long or measurement.is_growth or not is_main


def _is_quick(system: System, measurement: Measurement) -> bool:
    return measurement.is_core or (system.name == "heracles" and not measurement.is_growth)


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
