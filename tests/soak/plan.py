"""What a soak is told to do."""

from pathlib import Path

import msgspec

from heracles.model import Value

QUEUES = ("red", "green", "blue")
#: The file by which the watcher says that it sees all events from now on.
WATCHING = "watching"
_FILE = "plan.json"


class Plan(Value, frozen=True, kw_only=True):
    """One run. The seed decides what is dispatched and which faults come when, as far as processes allow."""

    transport: str
    faults: tuple[str, ...]
    seed: int
    seconds: float = 600.0
    """How long there are faults; draining comes on top."""
    lease_ms: int = 2000
    workers: int = 4
    concurrency: int = 4
    """Of each worker."""
    producers: int = 2
    rate: float = 6.0
    """Dispatches a second, of each producer."""
    calm_s: float = 1.5
    """Between the beginnings of two faults, on average."""
    patience_s: float = 15.0
    """How long nothing of a queue may start although something is ready: all workers may be dead or frozen at once."""
    drain_s: float = 180.0
    """How long all that was dispatched may take to end, once the faults have stopped."""

    def with_faults(self, faults: tuple[str, ...]) -> "Plan":
        """The same with these."""
        return msgspec.structs.replace(self, faults=faults)

    def write(self, folder: Path) -> None:
        """Where the soak's processes find it."""
        (folder / _FILE).write_bytes(msgspec.json.encode(self))

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        """In one of the soak's processes."""
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=cls)
