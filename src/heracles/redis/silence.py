"""No connection that is dead without a word may cost a lease while the store is there."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from heracles.redis.servers import Servers

#: The part of a lease after which a connection that brings no answer is left for a new one. Where answers take longer
#: than that, leases end anyway: a heartbeat comes every third of one, and takes several calls.
SILENT_FOR = 0.25
#: Seconds for which it is waited in any case, as on a busy machine, and how many looks are taken meanwhile.
SHORTEST_S, LOOKS = 0.5, 4


@contextmanager
def leaving_silent(servers: Servers, lease_ms: int) -> Iterator[None]:
    """While the block runs, calls that a connection answers too late for the lease are made again on a new one."""
    loop = asyncio.get_running_loop()
    seconds = max(lease_ms / 1000 * SILENT_FOR, SHORTEST_S)
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal timer
        servers.drop_silent(seconds)
        timer = loop.call_later(seconds / LOOKS, look)

    timer = loop.call_later(seconds / LOOKS, look)
    try:
        yield
    finally:
        timer.cancel()
