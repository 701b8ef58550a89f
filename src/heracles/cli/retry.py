"""``heracles retry``: a job that ended without success, once more."""

import asyncio
from collections.abc import Mapping
from typing import Any

from heracles.cli.app import import_app_if_any
from heracles.cli.parsing import SUBJECT
from heracles.cli.settings import Settings, read_settings
from heracles.cli.store import one_queue
from heracles.cli.usage import OTHER_PLACE, StartError
from heracles.errors import JobNotFoundError, OptionError, QueueDrainingError
from heracles.options import check_id


def run(given: Mapping[str, Any]) -> int:
    """Dispatch it, and print the new dispatch id."""
    settings = read_settings(given)
    id = check_id(given[SUBJECT], "ID")
    import_app_if_any(settings)
    print(asyncio.run(_retry(settings, id)))
    return 0


async def _retry(settings: Settings, id: str) -> str:
    async with one_queue(settings) as queue:
        try:
            return (await queue.retry_job(id)).dispatch_id
        # Asked for rightly; it cannot be done.
        except JobNotFoundError as error:
            raise StartError(f"{error}: {OTHER_PLACE}") from error
        except (OptionError, QueueDrainingError) as error:
            raise StartError(str(error)) from error
