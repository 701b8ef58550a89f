"""``heracles work``: one worker, or a pool of them."""

import asyncio
import importlib
import importlib.util
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heracles._version import __version__
from heracles.cli.app import import_app
from heracles.cli.children import child_commands, child_environment, with_parents_url
from heracles.cli.logs import HeldLogs
from heracles.cli.settings import Settings, read_settings
from heracles.cli.signals import ending_at_once
from heracles.cli.store import choose_store, how_to_reach, read_source, stores_of, using
from heracles.cli.usage import StartError, UsageError
from heracles.errors import TransportUnavailableError
from heracles.job import all_jobs
from heracles.model import Value
from heracles.options import OPTIONS, first_given
from heracles.queue import Queue
from heracles.transport import Transport
from heracles.wiring import tell_store, use_by_default
from heracles.worker import Worker
from heracles.worker.finisher import UNKNOWN_PATIENCE_MS
from heracles.worker.pool import Pool
from heracles.worker.process import serve

logger = logging.getLogger("heracles")


class _Plan(Value, frozen=True, kw_only=True):
    """All that is settled before the first connection is made."""

    settings: Settings
    id: str
    queues: Sequence[str]
    concurrency: int | None
    """Of the worker as a whole; None: as much as its queues have together."""
    store: Transport | None
    """The one that was named, if one was; else each queue is where the program says."""
    stores: Sequence[Transport]
    """All that are used."""
    logs: HeldLogs

    @property
    def waits(self) -> bool:
        """Whether it may start while the store is away."""
        return bool(self.settings.value("wait_for_store"))


def run(given: Mapping[str, Any]) -> int:
    """Serve until told to stop."""
    flags = with_parents_url(given)
    settings = read_settings(flags)
    worker_id = _worker_id(settings)
    # Nothing has begun before the worker heeds signals itself: there is nothing to finish.
    with ending_at_once(0):
        logs = HeldLogs(worker_id=worker_id, log_format=settings.value("log_format"), level=settings.value("log_level"))
        import_app(settings)
        logger.info("Heracles %s, worker %s, pid %d", __version__, worker_id, os.getpid())
        plan = _plan(settings, worker_id, logs)
        processes = settings.value("processes")
        try:
            if processes > 1:
                return _run_pool(plan, child_commands(flags, worker_id, processes), child_environment(flags))
            serve(_serve(plan), _loop_factory())
        except TransportUnavailableError as error:
            raise StartError(f"{error}: {how_to_reach(error)}, or give --wait-for-store") from error
        return 0


def _worker_id(settings: Settings) -> str:
    found: str | None = settings.given("id")
    if found is None:
        raise UsageError(
            'heracles work: --id is missing: give the worker a name, such as --id=worker-1 (or "id" in --config)'
        )
    return found


def _plan(settings: Settings, worker_id: str, logs: HeldLogs) -> _Plan:
    queues = settings.queues or (OPTIONS["queues"].default,)
    source = read_source(settings)
    store = choose_store(source, queues) if source.is_told else None
    # What its jobs dispatch goes where it works itself, unless code says otherwise.
    use_by_default(store)
    _check_jobs(queues)
    return _Plan(
        settings=settings,
        id=worker_id,
        queues=queues,
        concurrency=_concurrency(settings, queues),
        store=store,
        stores=stores_of(source, queues) if store is None else [store],
        logs=logs,
    )


def _check_jobs(queues: Sequence[str]) -> None:
    for definition in all_jobs().values():
        if definition.queue in queues:
            _ = definition.spec  # raises what is wrong with it


def _concurrency(settings: Settings, queues: Sequence[str]) -> int | None:
    given: int | None = settings.given("concurrency")
    if given is None and not any("concurrency" in _own(settings, queue) for queue in queues):
        return int(OPTIONS["concurrency"].default)
    return given


def _own(settings: Settings, queue: str) -> Mapping[str, Any]:
    """What the file's table of the queue and ``Queue.get`` say."""
    known = Queue.get_all().get(queue)
    return {**(known.settings_given if known else {}), **settings.of_queue(queue)}


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


# ------------------------------------------------------------------------------------------------------------ serving


async def _serve(plan: _Plan) -> bool:
    """Whether it was told to end by force."""
    worker = Worker(
        id=plan.id,
        transport=plan.store,
        concurrency=plan.concurrency,
        shutdown_timeout=plan.settings.value("shutdown_timeout"),
    )
    for queue in plan.queues:
        await worker.serve_queue(queue, _layers(plan, queue))
    if plan.waits:
        _begin(plan)
    # From here on the worker heeds signals itself, also while it starts.
    await worker.run(wait_for_store=plan.waits, started=None if plan.waits else lambda: _begin(plan))
    return worker.is_forced


def _layers(plan: _Plan, queue: str) -> Sequence[Mapping[str, Any]]:
    """What was given for the queue; a limit of the worker as a whole is one queue's too, where that has none."""
    layers = [plan.settings.of_queue(queue)]
    given = plan.settings.given("concurrency")
    return layers if given is None else [*layers, {"concurrency": given}]


def _run_pool(plan: _Plan, commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> int:
    if not plan.waits:
        # Once, here: each of the children would say what is wrong in a line of its own.
        asyncio.run(_reach(plan.stores))
    _begin(plan, len(commands))
    return Pool(commands, environment).run()


async def _reach(stores: Sequence[Transport]) -> None:
    for store in stores:
        async with using(store):
            pass


def _begin(plan: _Plan, processes: int = 1) -> None:
    """Show what was logged so far, and say what is served."""
    plan.logs.release()
    for store in plan.stores:
        tell_store(store)
    logger.info("queues: %s", _served(plan, processes))
    names = sorted(definition.name for definition in all_jobs().values())
    if names:
        logger.info("jobs: %s", ", ".join(names))
    else:
        logger.warning(
            "jobs: none are registered, so that whatever comes goes back to its queue; what no worker knows is FAILED "
            "after about %d minutes",
            UNKNOWN_PATIENCE_MS // 60_000,
        )
    elsewhere = sorted({definition.queue for definition in all_jobs().values()})
    if elsewhere and not set(elsewhere) & set(plan.queues):
        logger.warning(
            "none of these jobs goes to these queues by itself: --queues=%s serves them", ",".join(elsewhere)
        )


def _served(plan: _Plan, processes: int) -> str:
    """The queues, with how many jobs run at once: in all together, or in each where that was said for each."""
    if plan.concurrency is not None:
        each = f"{processes} processes, each with " if processes > 1 else ""
        names = ", ".join(_with_limit(plan.settings, queue) for queue in plan.queues)
        together = f"{each}{plan.concurrency} at once"
        return f"{names}; {together}" if "(" in names else f"{names} ({together})"
    limits = {queue: first_given("concurrency", [_own(plan.settings, queue)]) for queue in plan.queues}
    listed = ", ".join(f"{queue} ({limit} at once)" for queue, limit in limits.items())
    return f"{listed} in each of {processes} processes" if processes > 1 else listed


def _with_limit(settings: Settings, queue: str) -> str:
    # Of what the program says nothing holds where there is a limit of the worker as a whole.
    limit = settings.of_queue(queue).get("concurrency")
    return queue if limit is None else f"{queue} ({limit})"
