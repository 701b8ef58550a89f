"""The statements of ``queries.sql`` and ``schema.sql``, by name."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

_NAMED = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)
_ROW_OF_VALUES = re.compile(r"(?<=VALUES )\((?:\?(?:, )?)+\)")
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

_IN_LIST = "IN (SELECT value FROM json_each(:ids))"
#: Those that take a list of ids, for one id that is handed over as a number: reading lists takes as long as the rest.
SQL_FOR_ONE: Mapping[str, str] = {
    name: text.replace(_IN_LIST, "= :ids") for name, text in SQL.items() if _IN_LIST in text
}


@cache
def for_rows(name: str, count: int) -> str:
    """The statement of that name, with its row of VALUES repeated so often."""
    return _ROW_OF_VALUES.sub(lambda row: ", ".join([row[0]] * count), SQL[name])
