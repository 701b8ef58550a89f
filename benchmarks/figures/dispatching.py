"""How fast one process dispatches: one by one, from 100 tasks at once, and with the call for many."""

from collections.abc import Mapping

from benchmarks.catalogue import Ability, System
from benchmarks.environments import Environment
from benchmarks.figures import Measurement
from benchmarks.measure import Bench
from benchmarks.sizes import Size


def _dispatching(how: str) -> Measurement:
    def run(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
        with Bench(system, environment, size) as bench:
            done = bench.produce(how, seconds=size.dispatch_s)
        return {f"dispatch-{how}": done["dispatched"] / done["elapsed_s"]}

    return Measurement(f"dispatch-{how}", run, _has_bulk if how == "bulk" else _everybody, is_core=True)


def _everybody(system: System) -> bool:
    return True


def _has_bulk(system: System) -> bool:
    return Ability.BULK in system.abilities


MEASUREMENTS = tuple(_dispatching(how) for how in ("one", "together", "bulk"))
