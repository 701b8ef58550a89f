"""What a producer or worker process is told by the harness, through its environment."""

import os
from dataclasses import asdict, dataclass

_PREFIX = "BENCHMARK_"


@dataclass(frozen=True, kw_only=True)
class Role:
    """The task of one process. The same for every system."""

    url: str
    """``redis://…``, or ``sqlite:///…`` with an absolute path."""
    board: str
    """The file in which jobs leave their marks."""
    concurrency: int = 32
    worker: str = "worker"
    """A name that no other worker of this run has."""
    job: str = "noop"
    """The only kind of job that this run has, for systems that must know beforehand (how many threads, which pool)."""
    queues: int = 1
    """Over how many queues jobs are spread; only Heracles is measured with more than one."""
    workers: int = 1
    """How many worker processes this one starts; only Heracles is measured with more than one."""
    argument_bytes: int = 100
    """How long the argument of each job is."""
    recovery_s: int = 0
    """When not 0: after how many seconds a dead worker's jobs shall run again, where the system can be told."""

    def environment(self) -> dict[str, str]:
        """The environment of the process that has this role."""
        return {**os.environ, **{_PREFIX + name.upper(): str(value) for name, value in asdict(self).items()}}

    @classmethod
    def current(cls) -> "Role":
        """The role of this process."""
        values = {name: os.environ[_PREFIX + name.upper()] for name in cls.__dataclass_fields__}
        return cls(
            url=values["url"],
            board=values["board"],
            concurrency=int(values["concurrency"]),
            worker=values["worker"],
            job=values["job"],
            queues=int(values["queues"]),
            workers=int(values["workers"]),
            argument_bytes=int(values["argument_bytes"]),
            recovery_s=int(values["recovery_s"]),
        )

    @property
    def path(self) -> str:
        """Of a SQLite store: its file."""
        return self.url.removeprefix("sqlite:///")

    @property
    def address(self) -> tuple[str, int]:
        """Of a Redis store: host and port."""
        host, _, port = self.url.removeprefix("redis://").rpartition(":")
        return host, int(port)
