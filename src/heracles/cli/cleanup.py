"""``heracles cleanup``: finished jobs out of the store, once; for cron, a timer, or by hand."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from heracles.cli.app import import_app_if_any
from heracles.cli.settings import Settings, read_settings
from heracles.cli.store import find_store, looking_at, queues_of
from heracles.cli.table import table
from heracles.cli.usage import StartError, UsageError, escaped
from heracles.model import CleanupRules, Swept
from heracles.transport import Transport


def run(given: Mapping[str, Any]) -> int:
    """Clean the queues and print what was removed, or with ``--dry-run`` would be."""
    settings = read_settings(given)
    rules = _rules(settings)
    if rules.everything and rules.status_only:
        # Who asks for less than everything must not lose what waits.
        raise UsageError("--all and --status-only contradict each other: give one of them")
    import_app_if_any(settings)
    asyncio.run(_clean(settings, rules))
    return 0


async def _clean(settings: Settings, rules: CleanupRules) -> None:
    async with looking_at(find_store(settings)) as transport:
        if transport is None:
            print(_report({}))
            return
        names = await queues_of(transport, settings, ": nothing is removed there")
        if rules.everything and not rules.dry_run and not settings.value("yes"):
            _ask(names, transport)
        swept = {name: await transport.cleanup(name, rules) for name in names}
        print(_report(swept))
        if rules.dry_run:
            print("dry run: nothing was removed", file=sys.stderr)


def _rules(settings: Settings) -> CleanupRules:
    return CleanupRules(
        retention_s=settings.value("retention"),
        max_entries=settings.value("max"),
        status_only=settings.value("status_only"),
        everything=settings.value("all"),
        dry_run=settings.value("dry_run"),
    )


def _ask(names: Sequence[str], transport: Transport) -> None:
    if not sys.stdin.isatty():
        return
    what = f"Remove every job of {', '.join(names) or 'no queue'} from {transport.identity}, running ones included?"
    print(f"{escaped(what)} [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise StartError("nothing was removed")


def _report(swept: Mapping[str, Swept]) -> str:
    total = sum(swept.values(), Swept())
    rows = [(name, one.entries, one.records, one.cancelled) for name, one in swept.items()]
    return table(
        ("QUEUE", "ENTRIES", "RECORDS", "CANCELLED"), [*rows, ("total", total.entries, total.records, total.cancelled)]
    )
