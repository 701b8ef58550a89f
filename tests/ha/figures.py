"""How long dispatching and starting stand still when a master falls or moves, and what is lost.

python -m tests.ha.figures             every fault once
python -m tests.ha.figures --times 3   three times: the middle of the pauses, the most that was lost
"""

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from heracles import JobNotFoundError
from heracles.units import now_ms
from tests.ha.clusters import fail_over, masters, move_slot, serving, taken_over
from tests.ha.clusters import url_of as url_of_cluster
from tests.ha.sentinels import order_failover, switch_as_planned, switched
from tests.ha.sentinels import url_of as url_of_sentinels
from tests.ha.service import Service, longest_pause_s
from tests.servers import Cluster, Sentinels, redis_7

#: Seconds of undisturbed service after a fault, so that what is late is seen.
AFTER_S = 3.0


class Figures(NamedTuple):
    """Of one fault."""

    dispatch_s: float
    start_s: float
    acknowledged: int
    lost: int


class Fault(NamedTuple):
    """What is done to the servers, and with which durability the producers dispatch meanwhile."""

    name: str
    durability: str
    run: Callable[[str], Coroutine[Any, Any, Figures]]


async def measure(service: Service, disturb: Callable[[], Awaitable[None]]) -> Figures:
    """The longest pauses from the fault on, and how much of what was acknowledged is gone in the end."""
    await service.begin()
    at_ms = now_ms()
    await disturb()
    await service.goes_on(now_ms())
    await asyncio.sleep(AFTER_S)
    await service.goes_on(now_ms())
    await service.stop_producing()
    dispatched = [one.at_ms for one in service.acknowledged]
    started = [start.at_ms for start in service.starts()]
    lost = sum([await _is_lost(service, number) for number in range(len(dispatched))])
    return Figures(longest_pause_s(dispatched, at_ms), longest_pause_s(started, at_ms), len(dispatched), lost)


async def _is_lost(service: Service, number: int) -> bool:
    try:
        await service.acknowledged[number].handle.status()
    except JobNotFoundError:
        return True
    return False


@contextmanager
def _sentinels() -> Iterator[Sentinels]:
    made = Sentinels(redis_7())
    try:
        yield made.start()
    finally:
        made.stop()


@contextmanager
def _cluster() -> Iterator[Cluster]:
    made = Cluster(redis_7(), has_replicas=True)
    try:
        yield made.start()
    finally:
        made.stop()


async def with_sentinels(durability: str, disturb: Callable[[Sentinels], Awaitable[None]]) -> Figures:
    """One fault of a watched master."""
    with _sentinels() as watched, tempfile.TemporaryDirectory() as folder:
        async with Service(url_of_sentinels(watched), Path(folder), durability=durability) as service:
            return await measure(service, lambda: disturb(watched))


async def with_cluster(durability: str, disturb: Callable[[Cluster, str], Awaitable[None]]) -> Figures:
    """One fault of the master that has the queue."""
    with _cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        async with Service(url_of_cluster(cluster), Path(folder), durability=durability) as service:
            return await measure(service, lambda: disturb(cluster, service.queues[0].name))


async def _kill_watched(watched: Sentinels) -> None:
    old = watched.master
    old.kill()
    await switched(watched, old)


async def _freeze_watched(watched: Sentinels) -> None:
    old = watched.master
    old.freeze()
    await switched(watched, old)


async def _order_watched(watched: Sentinels) -> None:
    old = watched.master
    order_failover(watched)
    await switched(watched, old)


async def _kill_node(cluster: Cluster, queue: str) -> None:
    old = serving(cluster, queue)
    old.kill()
    await taken_over(cluster, queue, old)


async def _freeze_node(cluster: Cluster, queue: str) -> None:
    old = serving(cluster, queue)
    old.freeze()
    await taken_over(cluster, queue, old)


async def _order_node(cluster: Cluster, queue: str) -> None:
    await fail_over(cluster, queue)


async def _move(cluster: Cluster, queue: str) -> None:
    home = serving(cluster, queue)
    await move_slot(cluster, queue, next(master for master in masters(cluster) if master is not home))


def _watched(name: str, disturb: Callable[[Sentinels], Awaitable[None]], durability: str = "memory") -> Fault:
    return Fault(f"Sentinel: {name}", durability, lambda kept: with_sentinels(kept, disturb))


def _clustered(name: str, disturb: Callable[[Cluster, str], Awaitable[None]]) -> Fault:
    return Fault(f"Cluster: {name}", "memory", lambda kept: with_cluster(kept, disturb))


FAULTS = (
    _watched("master killed", _kill_watched),
    _watched("master killed", _kill_watched, "replicated"),
    _watched("master frozen", _freeze_watched),
    _watched("SENTINEL FAILOVER", _order_watched),
    _watched("SENTINEL FAILOVER", _order_watched, "replicated"),
    _watched("planned switch (CLIENT PAUSE WRITE first)", switch_as_planned),
    _clustered("master killed", _kill_node),
    _clustered("master frozen", _freeze_node),
    _clustered("CLUSTER FAILOVER", _order_node),
    _clustered("slot moved", _move),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=1, help="how often each fault is made")
    times = parser.parse_args().times
    print("| fault | durability | seconds without a dispatch | without a start | acknowledged | of these lost |")
    print("| --- | --- | --- | --- | --- | --- |")
    for fault in FAULTS:
        runs = [asyncio.run(fault.run(fault.durability)) for _ in range(times)]
        dispatch_s, start_s = (statistics.median(pauses) for pauses in list(zip(*runs, strict=True))[:2])
        acknowledged, lost = sum(run.acknowledged for run in runs), max(run.lost for run in runs)
        print(
            f"| {fault.name} | {fault.durability} | {dispatch_s:.1f} | {start_s:.1f} | {acknowledged} | {lost} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
