"""``heracles jobs``: the newest jobs, of one queue or of all."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from heracles.cli.app import import_app_if_any
from heracles.cli.settings import Settings, read_settings
from heracles.cli.store import find_store, looking_at, queues_of
from heracles.cli.table import table
from heracles.cli.usage import escaped
from heracles.model import JobInfo, JobStatus, Value
from heracles.queue.info import info_of

_HEAD = ("DISPATCH ID", "JOB", "QUEUE", "STATUS", "RETRIES", "CREATED", "ERROR")
#: Characters of an error in a table.
_LONGEST_ERROR = 80


class _Found(Value, frozen=True, kw_only=True):
    store: str
    jobs: Sequence[JobInfo] = ()


def run(given: Mapping[str, Any]) -> int:
    """Print them, newest first."""
    settings = read_settings(given)
    import_app_if_any(settings)
    found = asyncio.run(_look(settings))
    print(_as_json(found) if settings.value("json") else _as_text(found))
    return 0


async def _look(settings: Settings) -> _Found:
    store = find_store(settings)
    status, limit = settings.given("status"), settings.value("limit")
    async with looking_at(store) as transport:
        if transport is None:
            return _Found(store=store.identity)
        names = await queues_of(transport, settings)
        wanted = None if status is None else JobStatus(status)
        records = [record for name in names for record in await transport.page(name, wanted, limit)]
    newest = sorted(records, key=lambda record: record.created_at_ms, reverse=True)[:limit]
    return _Found(store=store.identity, jobs=[info_of(record) for record in newest])


def _as_text(found: _Found) -> str:
    jobs = table(_HEAD, [_row(info) for info in found.jobs]) if found.jobs else "no such jobs"
    return f"store: {escaped(found.store)}\n\n{jobs}"


def _row(info: JobInfo) -> tuple[object, ...]:
    created = info.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    error = info.error or ""
    shown = error if len(error) <= _LONGEST_ERROR else f"{error[: _LONGEST_ERROR - 1]}…"
    return info.dispatch_id, info.name or "", info.queue, info.status.value, info.retries, created, shown


def _as_json(found: _Found) -> str:
    return json.dumps({"store": found.store, "jobs": [_job_object(info) for info in found.jobs]}, indent=2)


def _job_object(info: JobInfo) -> dict[str, object]:
    """By the names that the other JSON of the command line has."""
    fields: dict[str, object] = msgspec.to_builtins(info, str_keys=True)
    return {re.sub("_(.)", lambda match: match[1].upper(), name): value for name, value in fields.items()}
