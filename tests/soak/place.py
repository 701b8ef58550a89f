"""What the processes of a soak share: a folder, a history, and queues on the store that ``HERACLES_URL`` names."""

import json
import os
from pathlib import Path

from heracles.queue import Queue
from tests import history
from tests.soak.plan import QUEUES

FOLDER = Path(os.environ.get("SOAK_FOLDER", "."))
#: Who this is: a life of a worker, or of a producer.
NAME = os.environ.get("SOAK_NAME", "")
HISTORY = FOLDER / "history.jsonl"


def note(event: history.AnyEvent) -> None:
    """Write an event down."""
    history.append(HISTORY, event)


def declare_queues() -> None:
    """Say which options the queues' transport has; workers take them from there too."""
    options = json.loads(os.environ.get("SOAK_OPTIONS", "{}"))
    for name in QUEUES:
        Queue.get(name, transport_options=options or None)


def times_seen(name: str) -> int:
    """How often it was asked for that name, this time included, by any process."""
    file = os.open(FOLDER / f"times-{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, b".")
        return os.fstat(file).st_size
    finally:
        os.close(file)
