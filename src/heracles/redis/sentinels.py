"""Which server is the master of a name, as its Sentinels say."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from heracles.errors import TransportUnavailableError
from heracles.redis.access import Access
from heracles.redis.refusals import Refusal
from heracles.redis.wire import LostError, open_wire

Address = tuple[str, int]
#: How long those that are slow or away are waited for: where the others do not make a majority, and where they do, as
#: one of the rest may be the first to know of a failover.
PATIENCE_S, MOMENT_S = 0.5, 0.1


class Named(NamedTuple):
    """A master, and the number of the failover that made it one: what a later one has decided counts."""

    epoch: int
    address: Address


class Sentinels:
    """All are asked at once, for each may be away, frozen, or cut off together with an old master and believe in it."""

    def __init__(self, addresses: Sequence[Address], access: Access, where: str, master: str) -> None:
        self._addresses = list(dict.fromkeys(addresses))
        self._access, self._where, self._master = access, where, master

    async def find_master(self, current: Address | None) -> Address:
        """The newest one that is named; of equally new ones that which most name, then ``current``.

        Without those that have not answered within a moment, or some more where a majority of all is not for one.

        Raises:
            LostError: none names any.
        """
        asking = {asyncio.create_task(self._ask(address)) for address in self._addresses}
        try:
            return await self._decide(asking, current)
        finally:
            for task in asking:
                task.cancel()
            # Their connections are closed when this returns.
            await asyncio.gather(*asking, return_exceptions=True)

    async def _decide(self, asking: "set[asyncio.Task[Named]]", current: Address | None) -> Address:
        votes: Counter[Named] = Counter()
        best: Named | None = None
        why = "none is given"
        loop = asyncio.get_running_loop()
        since, limit_s, pending = loop.time(), None, asking
        while pending:
            # Without an answer there is no limit: each of them is bounded in time by itself.
            done, pending = await asyncio.wait(pending, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            for task in done:
                try:
                    votes[task.result()] += 1
                except (TransportUnavailableError, Refusal) as error:
                    why = str(error)
            best = max(votes, key=lambda one: (one.epoch, votes[one], one.address == current), default=None)
            if best is not None:
                patience_s = MOMENT_S if 2 * votes[best] > len(self._addresses) else PATIENCE_S
                limit_s = max(0.0, since + patience_s - loop.time())
        if best is None:
            raise LostError(f"{self._where}: no Sentinel names a master: {why}")
        return best.address

    async def _ask(self, address: Address) -> Named:
        who = f"Sentinel {address[0]}:{address[1]}"
        wire = await open_wire(self._access, who, address)
        try:
            # In this order: an old master is never taken for one that a failover between the two has made.
            asked = [wire.send(("SENTINEL", what, self._master)) for what in ("MASTER", "GET-MASTER-ADDR-BY-NAME")]
            state, found = [await answer for answer in asked]
        finally:
            wire.drop()
        if isinstance(found, Refusal):
            raise found
        if not found:
            raise LostError(f"{who} knows no master {self._master!r}")
        return Named(_epoch(state), (found[0].decode(), int(found[1])))


def _epoch(state: Any) -> int:
    """The same for all where this user may not ask for it: then most decide."""
    if isinstance(state, Refusal) or b"config-epoch" not in state:
        return 0
    return int(state[state.index(b"config-epoch") + 1])
