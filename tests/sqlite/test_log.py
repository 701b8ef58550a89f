"""How long what was committed stays in the log beside the file."""

from pathlib import Path

from heracles.sqlite import SqliteTransport
from tests.sqlite.values import envelope

_MIB = 1 << 20


def _size(path: Path) -> int:
    return path.stat().st_size


async def _store_about_a_mebibyte(sqlite: SqliteTransport) -> None:
    await sqlite.enqueue("q", [envelope(args=b'["%s"]' % (b"x" * 4000)) for _ in range(250)])


async def test_the_log_is_folded_into_the_file_every_16_mib(sqlite: SqliteTransport, path: Path) -> None:
    for _ in range(8):
        await _store_about_a_mebibyte(sqlite)
    assert _size(path) < _MIB, "whoever commits waits for it: not after 1000 pages, as SQLite would"
    for _ in range(12):
        await _store_about_a_mebibyte(sqlite)
    assert _size(path) > 8 * _MIB
