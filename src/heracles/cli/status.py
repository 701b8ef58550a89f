"""``heracles status``: live workers, and each queue's counts and gates."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from heracles.cli.app import import_app_if_any
from heracles.cli.settings import Settings, read_settings
from heracles.cli.store import find_store, looking_at, queues_of
from heracles.cli.table import table
from heracles.cli.usage import escaped
from heracles.model import JobStatus, Overview, Value, WorkerInfo
from heracles.queue.workers import live_workers

_HEAD = ("QUEUE", "PENDING", "SCHEDULED", "RUNNING", "RETRYING", "COMPLETED", "FAILED", "CANCELLED", "GATES")


class _Found(Value, frozen=True, kw_only=True):
    store: str
    workers: Sequence[WorkerInfo] = ()
    queues: Mapping[str, Overview] = {}


def run(given: Mapping[str, Any]) -> int:
    """Print what the store knows."""
    settings = read_settings(given)
    import_app_if_any(settings)
    found = asyncio.run(_look(settings))
    print(_as_json(found) if settings.value("json") else _as_text(found))
    return 0


async def _look(settings: Settings) -> _Found:
    store = find_store(settings)
    async with looking_at(store) as transport:
        if transport is None:
            return _Found(store=store.identity)
        names = await queues_of(transport, settings)
        workers = await live_workers(transport)
        return _Found(
            store=transport.identity,
            workers=[worker for worker in workers if settings.queues is None or set(worker.queues) & set(names)],
            queues={name: await transport.overview(name) for name in names},
        )


def _as_text(found: _Found) -> str:
    workers = table(("WORKER", "STATUS", "RUNNING", "LAST SEEN", "QUEUES"), [_worker_row(one) for one in found.workers])
    queues = table(_HEAD, [_queue_row(name, overview) for name, overview in found.queues.items()])
    return "\n\n".join(
        (
            f"store: {escaped(found.store)}",
            workers if found.workers else "no live workers",
            queues if found.queues else "no queues yet: the first dispatch makes one",
        )
    )


def _worker_row(worker: WorkerInfo) -> tuple[object, ...]:
    seen = worker.last_seen.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return worker.id, worker.status, len(worker.running), seen, ", ".join(worker.queues)


def _queue_row(name: str, overview: Overview) -> tuple[object, ...]:
    counts = overview.counts
    return (
        name,
        counts[JobStatus.PENDING],
        overview.scheduled,
        counts[JobStatus.RUNNING],
        counts[JobStatus.SCHEDULED_FOR_RETRY],
        counts[JobStatus.COMPLETED],
        counts[JobStatus.FAILED],
        counts[JobStatus.CANCELLED],
        ", ".join(_gates(overview)) or "open",
    )


def _gates(overview: Overview) -> list[str]:
    gates = {"paused": overview.gates.paused, "draining": overview.gates.draining}
    return [name for name, closed in gates.items() if closed]


def _as_json(found: _Found) -> str:
    return json.dumps(
        {
            "store": found.store,
            "workers": [_worker_object(worker) for worker in found.workers],
            "queues": {name: _queue_object(overview) for name, overview in found.queues.items()},
        },
        indent=2,
    )


def _worker_object(worker: WorkerInfo) -> dict[str, object]:
    return {
        "id": worker.id,
        "status": worker.status,
        "queues": worker.queues,
        "running": worker.running,
        "lastSeen": worker.last_seen.isoformat(),
    }


def _queue_object(overview: Overview) -> dict[str, object]:
    return {
        "counts": {status.value: overview.counts[status] for status in JobStatus},
        "scheduled": overview.scheduled,
        "paused": overview.gates.paused,
        "draining": overview.gates.draining,
    }
