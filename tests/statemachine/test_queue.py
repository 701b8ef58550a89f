"""A store does in every interleaving what the model of a queue does."""

import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from heracles.transport import Transport
from heracles.units import now_ms
from tests.statemachine.machine import QueueMachine
from tests.stores import CLUSTER, SQLITE_MEMORY, Store

BRIEF_LEASE_MS = 100
#: So that a run takes well under 40 s on two busy cores.
EXAMPLES = {CLUSTER: 25}

Expiry = Callable[[Callable[[], None]], None]


class SettableClock:
    """This machine's clock, moved forward by hand."""

    def __init__(self, lease_ms: int) -> None:
        self._ahead_ms = 0
        self._lease_ms = lease_ms

    def __call__(self) -> int:
        return now_ms() + self._ahead_ms

    def let_expire(self, renew: Callable[[], None]) -> None:
        """Let a lease pass, in the middle of which the others are renewed."""
        self._ahead_ms += self._lease_ms // 2 + 1
        renew()
        self._ahead_ms += self._lease_ms // 2


def _wait(_: Callable[[], None]) -> None:
    time.sleep(BRIEF_LEASE_MS / 1000 + 0.01)


def _transports(store: Store) -> tuple[Transport, Transport, Expiry]:
    if store.kind == SQLITE_MEMORY:
        clock = SettableClock(lease_ms=30_000)
        transport = store.transport(clock=clock)
        return transport, transport, clock.let_expire
    return store.transport(), store.transport(lease=BRIEF_LEASE_MS), _wait


@pytest.mark.timeout(300)
def test_a_queue_does_what_its_model_does(store: Store, request: pytest.FixtureRequest) -> None:
    histories: int | None = request.config.getoption("--histories")
    lasting, brief, let_expire = _transports(store)
    with asyncio.Runner() as runner:
        run_state_machine_as_test(
            # A factory serves as well as a class.
            lambda: QueueMachine(runner, lasting, brief, let_expire),  # type: ignore[arg-type]  # declared for classes
            settings=settings(
                max_examples=histories or EXAMPLES.get(store.kind, 60),
                stateful_step_count=40,
                derandomize=histories is None,
                database=None,
                deadline=None,
                # Where leases run out by waiting, making a failure smaller takes longer than reading it.
                phases=(Phase.generate, Phase.shrink) if store.kind == SQLITE_MEMORY else (Phase.generate,),
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )
        runner.run(lasting.close())
        runner.run(brief.close())
