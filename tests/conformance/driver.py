"""One queue through the verbs of a transport, with what most tests pass filled in."""

from collections.abc import Sequence
from typing import Any

from heracles.model import (
    Change,
    Delivery,
    Envelope,
    Exchange,
    Held,
    JobStatus,
    Record,
    Report,
    ReportKind,
    Session,
    Signal,
    SignalKind,
    Storing,
    Verdict,
)
from heracles.transport import Listener, Transport
from heracles.units import new_id, now_ms
from tests.waiting import eventually

#: Short enough to wait for, long enough that a busy machine does not lose one by accident.
SHORT_LEASE_MS = 300
#: Far beyond any test.
LATER_MS = 3_600_000


def envelope(**fields: Any) -> Envelope:
    """An envelope with generated ids, as far as none are given."""
    shared = new_id()
    return Envelope(**{"job_id": f"job_{shared}", "dispatch_id": f"dispatch_{shared}", "name": "SendEmail", **fields})


def session(worker_id: str = "worker-1") -> Session:
    """A new incarnation of a worker."""
    return Session(worker_id=worker_id, consumer=f"{worker_id}-{new_id()}")


def report_on(delivery: Delivery, kind: ReportKind, **fields: Any) -> Report:
    """A report under the delivery's token."""
    return Report(
        **{
            "job_id": delivery.envelope.job_id,
            "dispatch_id": delivery.envelope.dispatch_id,
            "token": delivery.token,
            "receipt": delivery.receipt,
            "name": delivery.envelope.name,
            "kind": kind,
            **fields,
        }
    )


def ids(deliveries: Sequence[Delivery]) -> list[str]:
    """The dispatch ids, in order."""
    return [delivery.envelope.dispatch_id for delivery in deliveries]


class Driver:
    """Producer, worker and reader of one queue. ``session`` is the worker it is where no other is named."""

    def __init__(self, transport: Transport, queue: str = "emails") -> None:
        self.transport = transport
        self.queue = queue
        self.session = session()

    # ---- producing

    async def put(self, dispatch_id: str | None = None, **fields: Any) -> Envelope:
        """Store one dispatch."""
        made = envelope(**fields) if dispatch_id is None else envelope(dispatch_id=dispatch_id, **fields)
        await self.put_all([made])
        return made

    async def put_all(self, envelopes: Sequence[Envelope]) -> None:
        """Store several dispatches in one call."""
        stored = await self.transport.enqueue(self.queue, envelopes)
        assert [each.storing for each in stored] == [Storing.STORED] * len(envelopes)

    async def put_running(self, dispatch_id: str | None = None, **fields: Any) -> Delivery:
        """Store one dispatch and start it, on a queue where nothing else is ready."""
        made = await self.put(dispatch_id, **fields)
        delivery = await self.start_one()
        assert delivery.envelope.dispatch_id == made.dispatch_id
        return delivery

    # ---- working

    async def exchange(
        self, reports: Sequence[Report] = (), slots: int = 0, by: Session | None = None, **options: Any
    ) -> Exchange:
        """The verb."""
        return await self.transport.exchange(self.queue, by or self.session, reports, slots, **options)

    async def start(self, slots: int = 100, by: Session | None = None, **options: Any) -> list[Delivery]:
        """What starts now."""
        return list((await self.exchange((), slots, by, **options)).started)

    async def start_one(self, by: Session | None = None, **options: Any) -> Delivery:
        """The one job that starts, as soon as one is ready."""
        started = await eventually(lambda: self.start(1, by, **options), what="a job to start")
        assert len(started) == 1
        return started[0]

    async def report(self, delivery: Delivery, kind: ReportKind, by: Session | None = None, **fields: Any) -> Verdict:
        """The verdict on one report."""
        exchanged = await self.exchange([report_on(delivery, kind, **fields)], by=by)
        assert len(exchanged.verdicts) == 1
        assert exchanged.started == ()
        return exchanged.verdicts[0]

    async def finish(self, delivery: Delivery, **fields: Any) -> None:
        """Report it COMPLETED."""
        assert await self.report(delivery, ReportKind.COMPLETED, **fields) is Verdict.APPLIED

    async def beat(self, *deliveries: Delivery, by: Session | None = None, status: str = "running") -> Any:
        """A heartbeat that holds these."""
        held = [self.held(delivery) for delivery in deliveries]
        return await self.transport.beat(by or self.session, [self.queue], status, held)

    def held(self, delivery: Delivery) -> Held:
        """The delivery as a beat names it."""
        return Held(
            queue=self.queue,
            job_id=delivery.envelope.job_id,
            dispatch_id=delivery.envelope.dispatch_id,
            token=delivery.token,
            receipt=delivery.receipt,
        )

    def listen(self, by: Session | None = None) -> Listener:
        """Hints for a worker."""
        return self.transport.listen(by or self.session, [self.queue])

    # ---- control and reading

    async def cancel(self, *names: str) -> list[bool]:
        """The verb."""
        return list(await self.transport.cancel(self.queue, names))

    async def find(self, name: str) -> Record:
        """The record, which there is."""
        record = await self.transport.find(self.queue, name)
        assert record is not None, f"no record of {name}"
        return record

    async def status(self, name: str) -> JobStatus:
        """The status of a record that there is."""
        return (await self.find(name)).status

    async def counts(self) -> dict[str, int]:
        """The counts that are not zero, by the status's name."""
        counts = (await self.transport.overview(self.queue)).counts
        assert set(counts) == set(JobStatus)
        return {status.name: count for status, count in counts.items() if count}

    async def cursor(self) -> str:
        """The event cursor of now."""
        return (await self.transport.changes(self.queue, None, 0)).cursor

    async def changes(self, cursor: str) -> list[Change]:
        """All changes since the cursor."""
        found: list[Change] = []
        while True:
            read = await self.transport.changes(self.queue, cursor, 0)
            if not read.changes:
                return found
            found += read.changes
            cursor = read.cursor


async def next_ms() -> None:
    """Let the clock go on: within a millisecond, the order of what becomes due and of what is dispatched is open."""
    then = now_ms()
    await eventually(lambda: now_ms() > then, interval_s=0.0005)


async def is_woken(listener: Listener, kind: SignalKind, queue: str = "emails", within_ms: int = 5000) -> bool:
    """Whether a hint of that kind comes."""

    async def came() -> bool:
        signals: Sequence[Signal] = await listener.wait(within_ms)
        return any(signal.kind is kind and signal.queue == queue for signal in signals)

    try:
        await eventually(came, deadline_s=within_ms / 1000)
    except AssertionError:
        return False
    return True
