"""A file that all processes of a run map into memory: jobs count themselves there, and leave how late they started.

Counting costs the same half a microsecond for every system, and needs no store, so that what is measured is the
system's own work.
"""

import mmap
import os
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct("<Q")
#: Of one process: jobs run, monotonic nanoseconds of the first and of the last.
_SLOT = struct.Struct("<QQQ")
_SAMPLE = struct.Struct("<q")
#: More processes than any system starts for one run.
SLOTS = 256
_SAMPLES_AT = _HEADER.size + SLOTS * _SLOT.size


@dataclass(frozen=True)
class Tally:
    """What one process has run so far."""

    count: int
    first_ns: int
    last_ns: int


class Board:
    """The mapped file. One process makes it, any number open it."""

    def __init__(self, path: Path | str) -> None:
        self._file = open(path, "r+b")  # noqa: SIM115 - it lives as long as the mapping
        self.memory = mmap.mmap(self._file.fileno(), 0)
        self.room = (len(self.memory) - _SAMPLES_AT) // _SAMPLE.size
        """For how many samples."""

    @classmethod
    def create(cls, path: Path, samples: int = 0) -> "Board":
        """An empty board with room for that many samples."""
        path.write_bytes(bytes(_SAMPLES_AT + samples * _SAMPLE.size))
        return cls(path)

    def claim_slot(self) -> int:
        """The offset of a slot that no other process has."""
        # Advisory locks belong to the process and end with it, however it ends.
        os.lockf(self._file.fileno(), os.F_LOCK, 0)
        try:
            (taken,) = _HEADER.unpack_from(self.memory)
            if taken >= SLOTS:
                raise RuntimeError(f"more than {SLOTS} processes have run jobs")
            _HEADER.pack_into(self.memory, 0, taken + 1)
        finally:
            os.lockf(self._file.fileno(), os.F_ULOCK, 0)
        return _HEADER.size + int(taken) * _SLOT.size

    def tallies(self) -> list[Tally]:
        """Of each process that has run a job."""
        (taken,) = _HEADER.unpack_from(self.memory)
        slots = [Tally(*_SLOT.unpack_from(self.memory, _HEADER.size + n * _SLOT.size)) for n in range(taken)]
        return [slot for slot in slots if slot.count]

    def count(self) -> int:
        """How many jobs have run."""
        return sum(tally.count for tally in self.tallies())

    def put_sample(self, index: int, nanoseconds: int) -> None:
        """Keep one sample; 0 means none, so a sample of 0 is kept as 1."""
        _SAMPLE.pack_into(self.memory, _SAMPLES_AT + index * _SAMPLE.size, nanoseconds or 1)

    def samples(self) -> list[int]:
        """All samples that were put, in order of their index."""
        return [value for (value,) in _SAMPLE.iter_unpack(self.memory[_SAMPLES_AT:]) if value]

    def close(self) -> None:
        """Unmap it; the file stays."""
        self.memory.close()
        self._file.close()


class Counter:
    """Counts the jobs of this process on a board, from any thread."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._lock = threading.Lock()
        self._offset = board.claim_slot()
        self._count = 0
        self._first_ns = 0
        self._last_ns = 0

    def add(self) -> int:
        """Count one job; returns the nanoseconds since the last one."""
        now = time.monotonic_ns()
        with self._lock:
            since, self._last_ns = now - (self._last_ns or now), now
            self._first_ns = self._first_ns or now
            self._count += 1
            _SLOT.pack_into(self.board.memory, self._offset, self._count, self._first_ns, now)
        return since

    @property
    def total(self) -> int:
        """How many this process has counted."""
        return self._count
