"""What workers hold: their records, the leases of their jobs, and what an answer that was lost had started."""

import sqlite3
from collections.abc import Sequence

import msgspec

from heracles.model import Beaten, Delivery, Held, JobStatus, Session, WorkerInfo
from heracles.options import StoreSettings
from heracles.sqlite.ending import release
from heracles.sqlite.queries import SQL
from heracles.sqlite.rows import ReadyRow, UnreadableEntryError, delivery_of
from heracles.sqlite.turn import Turn
from heracles.units import EPOCH, ONE_MS

#: How long a worker that says nothing counts as live.
WORKER_TTL_MS = 60_000


def beat(
    connection: sqlite3.Connection,
    now_ms: int,
    settings: StoreSettings,
    session: Session,
    queues: Sequence[str],
    status: str,
    held: Sequence[Held],
) -> Beaten:
    """Renew the worker's record, and the lease of each job that is still its own."""
    connection.execute(
        SQL["save_worker"],
        {
            "consumer": session.consumer,
            "worker": session.worker_id,
            "status": status,
            "queues": msgspec.json.encode(list(queues)).decode(),
            "running": msgspec.json.encode([one.dispatch_id for one in held]).decode(),
            "now": now_ms,
        },
    )
    connection.execute(SQL["drop_dead_workers"], {"seen_ms": now_ms - WORKER_TTL_MS})
    lost: list[Held] = []
    cancelled: list[Held] = []
    for queue in dict.fromkeys(one.queue for one in held):
        of_queue = [one for one in held if one.queue == queue]
        turn = Turn.on(connection, queue, now_ms, settings)
        if turn is None:
            lost += of_queue
        else:
            _renew(turn, of_queue, lost, cancelled)
    return Beaten(lost=tuple(lost), cancelled=tuple(cancelled))


def retire(connection: sqlite3.Connection, session: Session) -> None:
    """Remove the worker's record."""
    connection.execute(SQL["drop_worker"], {"consumer": session.consumer})


def _renew(turn: Turn, held: Sequence[Held], lost: list[Held], cancelled: list[Held]) -> None:
    renewed: list[int] = []
    turn.read_ahead(one.receipt for one in held)
    for one in held:
        job = turn.job_by_receipt(one.receipt, one.dispatch_id)
        if job is None or job.token != one.token or not job.is_held:
            lost.append(one)
            continue
        renewed.append(job.id)
        if job.status == JobStatus.CANCELLED:
            cancelled.append(one)
    if renewed:
        turn.write_all("renew", renewed, lease_ms=turn.now_ms + turn.settings.lease_ms)


def recover(turn: Turn, session: Session, held: Sequence[Held]) -> tuple[Delivery, ...]:
    """The running jobs of a session that it does not name; those cancelled meanwhile never began and are released."""
    named = {(one.dispatch_id, one.token) for one in held}
    found = [ReadyRow(*row) for row in turn.rows("held_deliveries", consumer=session.consumer)]
    deliveries: list[Delivery] = []
    for row in found:
        try:
            delivery = delivery_of(row, row.token, row.deliveries, row.started_ms or 0)
        except UnreadableEntryError:
            # Edited since it was started: its lease ends, and its next start says what is wrong.
            continue
        if (delivery.envelope.dispatch_id, row.token) in named:
            continue
        if row.status == JobStatus.RUNNING:
            deliveries.append(delivery)
        elif row.status == JobStatus.CANCELLED:
            _release(turn, row.id)
    return tuple(deliveries)


def _release(turn: Turn, id: int) -> None:
    job = turn.job_by_id(id)
    if job is not None:
        release(turn, job, 0)


def live_workers(connection: sqlite3.Connection, now_ms: int) -> tuple[WorkerInfo, ...]:
    """The workers heard of within the last minute, by id; of several sessions of one id the latest."""
    rows = connection.execute(SQL["live_workers"], {"seen_ms": now_ms - WORKER_TTL_MS}).fetchall()
    latest = {worker: (worker, *rest) for worker, *rest in rows}
    return tuple(
        WorkerInfo(
            id=worker,
            status=status,
            queues=tuple(map(str, msgspec.json.decode(queues))),
            running=tuple(map(str, msgspec.json.decode(running))),
            last_seen=EPOCH + seen_ms * ONE_MS,
        )
        for worker, status, queues, running, seen_ms in latest.values()
    )
