"""The statements of ``queries.sql`` and ``schema.sql``, by name."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_NAMED = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _named(text: str) -> dict[str, str]:
    return {name: _COMMENT.sub("", body).strip() for name, body in _NAMED.findall(text)}


def _statements(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in _COMMENT.sub("", text).split(";") if part.strip())


#: Every statement by its name.
SQL: Mapping[str, str] = _named(_read("queries.sql"))
#: The statements that make an empty file a store; each may be run again.
SCHEMA: Sequence[str] = _statements(_read("schema.sql"))
