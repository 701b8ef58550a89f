"""What a run has found, as values and as JSON."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.survival import Survival


@dataclass(frozen=True)
class Row:
    """One figure of one system, with the value of each repeat."""

    system: str
    figure: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half of what lies between the extremes, as a share of the median."""
        return (max(self.values) - min(self.values)) / 2 / abs(self.median) if self.median else 0.0


@dataclass(frozen=True)
class Failure:
    """A measurement that a system did not get through, or a system that could not be installed."""

    system: str
    measurement: str
    reason: str


@dataclass
class Results:
    """Filled while the run goes on."""

    size: str
    machine: Mapping[str, str]
    versions: Mapping[str, Sequence[str]]
    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    survivals: Sequence[Survival] = ()
    failures: list[Failure] = field(default_factory=list)
    done: set[tuple[str, str]] = field(default_factory=set)
    """The measurements that a system has got through."""

    def add(self, system: str, found: Mapping[str, float]) -> None:
        """Take up what one measurement yielded."""
        for figure, value in found.items():
            self.values.setdefault((system, figure), []).append(value)

    def join(self, other: "Results") -> None:
        """Take up another run's results; what both have measured, it replaces."""
        self.values.update(other.values)
        self.limits = {**self.limits, **other.limits}
        self.versions = {**self.versions, **other.versions}
        survivals = {survival.system: survival for survival in (*self.survivals, *other.survivals)}
        self.survivals = list(survivals.values())
        mended = [failure for failure in self.failures if (failure.system, failure.measurement) in other.done]
        self.failures = [failure for failure in self.failures if failure not in mended] + other.failures
        self.done |= other.done

    @property
    def rows(self) -> list[Row]:
        """Every figure of every system."""
        return [Row(system, figure, tuple(values)) for (system, figure), values in self.values.items()]

    @property
    def medians(self) -> dict[str, dict[str, float]]:
        """By system and figure."""
        found: dict[str, dict[str, float]] = {}
        for row in self.rows:
            found.setdefault(row.system, {})[row.figure] = row.median
        return found

    def points(self, series: str, system: str = "heracles") -> dict[str, float]:
        """The medians of a series, by point, in the order in which they were found."""
        found = ((row.figure.partition("@"), row) for row in self.rows if row.system == system)
        return {point: row.median for (key, _, point), row in found if key == series and point}

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "size": self.size,
            "machine": dict(self.machine),
            "versions": {name: list(versions) for name, versions in self.versions.items()},
            "rows": [{**asdict(row), "median": row.median, "spread": row.spread} for row in self.rows],
            "limits": dict(self.limits),
            "survivals": [asdict(survival) for survival in self.survivals],
            "failures": [asdict(failure) for failure in self.failures],
            "done": sorted(self.done),
        }

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n")


def read(path: Path) -> Results:
    """What ``write`` wrote."""
    found = json.loads(path.read_text())
    return Results(
        size=found["size"],
        machine=found["machine"],
        versions=found["versions"],
        values={(row["system"], row["figure"]): row["values"] for row in found["rows"]},
        limits=found["limits"],
        survivals=[Survival(**survival) for survival in found["survivals"]],
        failures=[Failure(**failure) for failure in found["failures"]],
        done={(system, measurement) for system, measurement in found["done"]},
    )


def read_all(paths: Sequence[Path]) -> Results:
    """Several runs as one; what a later one has measured too, counts."""
    first, *others = map(read, paths)
    for other in others:
        first.join(other)
    return first
