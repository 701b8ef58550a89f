"""A violation with all that happened to the jobs it names."""

import re
from collections.abc import Iterator, Sequence

import msgspec

from tests.history import AnyEvent, Dispatched, Disturbed, Paused, Started
from tests.history.events import EVERYONE, Sent
from tests.history.model import NEVER_MS

#: Before a job's first event and after its last: disturbances that long apart may still matter.
_AROUND_MS = 3000
_MOST_NAMES = 4


def stories(violations: Sequence[str], events: Sequence[AnyEvent]) -> Iterator[str]:
    """Each violation, followed by the story of the dispatches in it, by time."""
    known = {event.dispatch_id for event in events if isinstance(event, Sent | Dispatched)}
    origin_ms = min((time_ms for event in events if (time_ms := _time_ms(event))), default=0)
    for violation in violations:
        names = [word for word in dict.fromkeys(re.findall(r"[\w.-]+", violation)) if word in known]
        yield "\n".join([violation, *_lines(set(names[:_MOST_NAMES]), events, origin_ms)])


def _lines(names: set[str], events: Sequence[AnyEvent], origin_ms: int) -> Iterator[str]:
    theirs = [event for event in events if getattr(event, "dispatch_id", None) in names]
    times = [_time_ms(event) for event in theirs if _time_ms(event)]
    if not times:
        return
    workers = {event.worker for event in theirs if isinstance(event, Started)} | {EVERYONE}
    queues = {event.queue for event in theirs if isinstance(event, Started)}
    around = [
        event
        for event in events
        if (
            (isinstance(event, Disturbed) and event.worker in workers)
            or (isinstance(event, Paused) and event.queue in queues)
        )
        and event.from_ms < max(times) + _AROUND_MS
        and (event.until_ms is None or event.until_ms > min(times) - _AROUND_MS)
    ]
    for event in sorted([*theirs, *around], key=lambda event: _time_ms(event) or NEVER_MS):
        at_ms = _time_ms(event)
        yield f"    {at_ms - origin_ms if at_ms else 'end':>8} {_words(event, origin_ms)}"


def _time_ms(event: AnyEvent) -> int:
    for field in ("at_ms", "from_ms", "sent_ms"):
        if (value := getattr(event, field, None)) is not None:
            return int(value)
    return 0


def _words(event: AnyEvent, origin_ms: int) -> str:
    """Its fields; times count from the beginning of the history."""
    shown = []
    for name, value in msgspec.structs.asdict(event).items():
        if name.endswith("_ms") and value is not None and value >= origin_ms:  # a time, no duration
            shown.append(f"{name}={value - origin_ms}")
        elif value is not None:
            shown.append(f"{name}={value}")
    return f"{type(event).__name__} {' '.join(shown)}"
