"""How much a run measures: ``tiny`` for tests, ``quick`` and ``full`` for ``make bench-quick`` and ``make bench``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured."""

    repeats: int
    dispatch_s: float
    """How long each way of dispatching is driven."""
    process_s: float
    """About how long the jobs of a processing run take."""
    least_jobs: int = 200
    """In a processing run of even the slowest system."""
    samples: int
    """Latencies of one run."""
    later: int
    """Scheduled jobs of one run."""
    burst: int = 1000
    """Jobs dispatched at once to an idle worker, and beside one that keeps the event loop busy."""
    idle_s: float
    backlog: int
    """Jobs queued in the large store; a tenth each scheduled and finished; 0: not measured."""
    queues: int
    """Queues of one worker."""
    crowd: int
    """Idle workers of one queue."""
    overlap_jobs: int
    recovery_s: int
    """After how many seconds a dead worker's jobs shall run again."""
    patience_s: float
    """How long to wait for them."""
    is_brief: bool = False
    """Peers take part in the core measurements only, no worker is killed, and nothing is measured along what grows."""
    step_s: float
    """About what one step takes on a quiet machine, for the estimate before a run."""
    backlogs: Sequence[int] = (0, 300)
    """Along which growth is measured, as the next three."""
    queue_counts: Sequence[int] = (1, 3)
    worker_counts: Sequence[int] = (1, 2)
    payloads: Sequence[int] = (100, 1_000)


TINY = Size(
    repeats=1, dispatch_s=0.1, process_s=0.01, samples=20, later=3, burst=50, idle_s=0.3, backlog=0, queues=5, crowd=3,
    overlap_jobs=300, recovery_s=1, patience_s=15, step_s=2,
)  # fmt: skip
QUICK = Size(
    repeats=1, dispatch_s=0.25, process_s=0.25, samples=60, later=10, idle_s=0.5, backlog=0, queues=100, crowd=8,
    overlap_jobs=3000, recovery_s=5, patience_s=60, is_brief=True, step_s=1.5,
)  # fmt: skip
FULL = Size(
    repeats=3, dispatch_s=1.0, process_s=1.5, samples=200, later=25, idle_s=2.0, backlog=1_000_000, queues=1000,
    crowd=100, overlap_jobs=10_000, recovery_s=10, patience_s=120, step_s=4,
    backlogs=(0, 1_000, 10_000, 100_000), queue_counts=(1, 10, 100, 1000), worker_counts=(1, 2, 3, 4),
    payloads=(100, 1_000, 10_000, 100_000, 1_000_000),
)  # fmt: skip
SIZES: Mapping[str, Size] = {"tiny": TINY, "quick": QUICK, "full": FULL}
