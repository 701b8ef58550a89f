"""Background jobs on Redis Streams or one SQLite file.

Whatever users need is here; the modules below are how it is made.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from heracles._version import __version__
from heracles.errors import (
    ArgumentsError,
    ConfigurationError,
    Fail,
    HeraclesError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    JobRegistrationError,
    OptionError,
    PayloadTooLargeError,
    QueueDrainingError,
    ResultError,
    ResultTimeoutError,
    RunningLoopError,
    TransportError,
    TransportUnavailableError,
    UnknownJobError,
)
from heracles.function import FunctionJob, job
from heracles.job import Job, JobOptions, JobRun, current_run
from heracles.model import JobEvent, JobInfo, JobOverlapBehavior, JobStatus, WorkerInfo
from heracles.queue import DispatchOptions, JobHandle, Queue, SyncJobHandle, SyncQueue, dispatch
from heracles.transport import Transport

if TYPE_CHECKING:
    from heracles.redis import Redis, RedisTransport
    from heracles.sqlite import SqliteTransport
    from heracles.worker import RedisWorker, SqliteWorker, Worker

#: Where the names are that ``import heracles`` leaves alone: a program uses one store, and a producer needs no worker.
_LATE = {
    "Redis": "heracles.redis",
    "RedisTransport": "heracles.redis",
    "SqliteTransport": "heracles.sqlite",
    "Worker": "heracles.worker",
    "RedisWorker": "heracles.worker",
    "SqliteWorker": "heracles.worker",
}


# Type checkers know those names from above, and with this any other one would be right to them.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_LATE[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})


__all__ = [
    "ArgumentsError",
    "ConfigurationError",
    "DispatchOptions",
    "Fail",
    "FunctionJob",
    "HeraclesError",
    "Job",
    "JobCancelledError",
    "JobEvent",
    "JobFailedError",
    "JobHandle",
    "JobInfo",
    "JobNotFoundError",
    "JobOptions",
    "JobOverlapBehavior",
    "JobRegistrationError",
    "JobRun",
    "JobStatus",
    "OptionError",
    "PayloadTooLargeError",
    "Queue",
    "QueueDrainingError",
    "Redis",
    "RedisTransport",
    "RedisWorker",
    "ResultError",
    "ResultTimeoutError",
    "RunningLoopError",
    "SqliteTransport",
    "SqliteWorker",
    "SyncJobHandle",
    "SyncQueue",
    "Transport",
    "TransportError",
    "TransportUnavailableError",
    "UnknownJobError",
    "Worker",
    "WorkerInfo",
    "__version__",
    "current_run",
    "dispatch",
    "job",
]
