"""``python -m benchmarks.awaiting COUNT``: how soon a dispatcher has the results of jobs that took 100 ms.

Of Heracles alone. Prints one JSON object.
"""

import asyncio
import json
import os
import random
import sys
import time

from benchmarks.jobs import plain_argument
from benchmarks.produce import quantiles
from benchmarks.role import Role
from benchmarks.systems.heracles_adapter import QUEUE, Tenth
from heracles import Queue

#: Between two dispatches, so that a dozen of 100 ms are under way, each at another point of its time.
_PAUSE_S = 0.008


async def _wait_for_one(index: int) -> int:
    """Nanoseconds from the end of the job until its result is here."""
    handle = await Queue.get(QUEUE).dispatch(Tenth(plain_argument(index)))
    ended = await handle.result()
    return time.monotonic_ns() - ended


async def _wait_for_all(count: int) -> dict[str, float]:
    tasks = []
    async with asyncio.TaskGroup() as group:
        for index in range(count):
            tasks.append(group.create_task(_wait_for_one(index)))
            await asyncio.sleep(_PAUSE_S * random.uniform(0.5, 1.5))
    return quantiles([task.result() for task in tasks])


def main() -> None:
    """Dispatch and wait."""
    os.environ["HERACLES_URL"] = Role.current().url
    print(json.dumps(asyncio.run(_wait_for_all(int(sys.argv[1])))))


if __name__ == "__main__":
    main()
