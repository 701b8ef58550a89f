"""What other processes do to a database file: ``python -m tests.sqlite.child VERB PATH …``."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping

from heracles.errors import TransportError
from heracles.sqlite import SqliteTransport
from tests.sqlite.values import envelope, report, session

NOBODY = 65534
#: How long a worker waits before it looks by itself: longer than any test that counts on being woken.
LOOK_MS = 60_000


def say(*words: object) -> None:
    print(*words, flush=True)


async def dispatch(path: str, count: str) -> None:
    """Dispatch so many jobs one by one; say each dispatch id once it is acknowledged."""
    transport = SqliteTransport(path)
    for _ in range(int(count)):
        (stored,) = await transport.enqueue("q", [envelope()])
        say(stored.dispatch_id)


async def delay(path: str, delay_ms: str) -> None:
    """Dispatch one job for later, then end; say its dispatch id."""
    transport = SqliteTransport(path)
    (stored,) = await transport.enqueue("q", [envelope(delay_ms=int(delay_ms))])
    say(stored.dispatch_id)


async def work(path: str, slots: str) -> None:
    """Run every job at once, until killed; say the dispatch id of each before its end is reported."""
    transport = SqliteTransport(path)
    me = session(f"worker-{os.getpid()}")
    listener = transport.listen(me, ["q"])
    say("ready")
    answer = await transport.exchange("q", me, [], int(slots))
    while True:
        for delivery in answer.started:
            say(delivery.envelope.dispatch_id)
        if not answer.started and answer.next_due_ms != 0:
            await listener.wait(min(answer.next_due_ms or LOOK_MS, LOOK_MS))
        answer = await transport.exchange("q", me, [report(each) for each in answer.started], int(slots))


async def hold(path: str) -> None:
    """Start one job, then wait for signals; say each."""
    transport = SqliteTransport(path)
    me = session()
    listener = transport.listen(me, ["q"])
    say("started", *[each.envelope.dispatch_id for each in (await transport.exchange("q", me, [], 1)).started])
    while True:
        for signal in await listener.wait(1000):
            say(signal.kind.value, signal.queue, signal.dispatch_id)


async def watch(path: str) -> None:
    """Say each status change."""
    transport = SqliteTransport(path, poll_interval=60_000)
    cursor = (await transport.changes("q", None, 0)).cursor
    say("ready")
    while True:
        changes = await transport.changes("q", cursor, 60_000)
        cursor = changes.cursor
        for change in changes.changes:
            say(change.status)


async def unprivileged(path: str) -> None:
    """Use the file as a user who owns nothing; say the error."""
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    await use(path)


async def use(path: str) -> None:
    """Dispatch a job; say the error if there is one."""
    try:
        await SqliteTransport(path).enqueue("q", [envelope()])
        say("stored")
    except TransportError as error:
        say(type(error).__name__, error)


async def leave(path: str) -> None:
    """Dispatch, read and listen, then end without closing anything."""
    transport = SqliteTransport(path)
    transport.listen(session(), ["q"])
    await transport.enqueue("q", [envelope()])
    say((await transport.overview("q")).counts)


VERBS: Mapping[str, Callable[..., Awaitable[None]]] = {
    verb.__name__: verb for verb in (dispatch, delay, work, hold, watch, unprivileged, use, leave)
}

if __name__ == "__main__":
    asyncio.run(VERBS[sys.argv[1]](*sys.argv[2:]))  # type: ignore[arg-type]  # all verbs are coroutine functions
