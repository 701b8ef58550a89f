"""``heracles cancel``: a job that waits never starts, one that runs is told to stop."""

import asyncio
from collections.abc import Mapping
from typing import Any

from heracles.cli.app import import_app_if_any
from heracles.cli.parsing import SUBJECT
from heracles.cli.settings import Settings, read_settings
from heracles.cli.store import one_queue
from heracles.cli.usage import OTHER_PLACE, StartError
from heracles.options import check_id
from heracles.queue import Queue


def run(given: Mapping[str, Any]) -> int:
    """Cancel it; 0 means that it ends CANCELLED."""
    settings = read_settings(given)
    id = check_id(given[SUBJECT], "ID")
    import_app_if_any(settings)
    asyncio.run(_cancel(settings, id))
    print(f"{id} is cancelled")
    return 0


async def _cancel(settings: Settings, id: str) -> None:
    async with one_queue(settings) as queue:
        if not await queue.cancel_job(id):
            raise StartError(await _why_not(queue, id))


async def _why_not(queue: Queue, id: str) -> str:
    found = await queue.get_job(id)
    if found is None:
        return f"queue {queue.name!r} has no job {id!r}: {OTHER_PLACE}"
    return f"job {id!r} is {found.status}: only one that waits or runs can be cancelled"
