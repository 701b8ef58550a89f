"""What the machine can do at best, by redis-benchmark. ``systems/bare_adapter.py`` has a bare loop and consumer."""

import csv
import subprocess
from collections.abc import Mapping

from benchmarks.jobs import ARGUMENT_BYTES
from benchmarks.servers import HOST, Server, program
from benchmarks.sizes import Size

#: By title: clients and commands a round trip.
_RUNS: Mapping[str, tuple[int, int]] = {
    "redis-benchmark XADD, one client, one a round trip": (1, 1),
    "redis-benchmark XADD, 50 clients": (50, 1),
    "redis-benchmark XADD, 50 clients, 32 a round trip": (50, 32),
}
#: About what one client does, so that a run takes the size's time.
_PACE = 30_000


def limits(size: Size) -> dict[str, float]:
    """Commands a second, by title."""
    found = {}
    for title, (clients, pipeline) in _RUNS.items():
        with Server() as server:
            found[title] = _benchmark(server, clients, pipeline, max(1000, round(_PACE * size.dispatch_s)) * pipeline)
    return found


def _benchmark(server: Server, clients: int, pipeline: int, count: int) -> float:
    words = [str(program("redis-benchmark")), "-h", HOST, "-p", str(server.port), "--csv", "-c", str(clients)]
    words += ["-P", str(pipeline), "-n", str(count), "XADD", "bench", "*", "a", "x" * ARGUMENT_BYTES]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    *_, last = csv.reader(done.stdout.splitlines())
    return float(last[1])
