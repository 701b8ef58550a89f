"""The scripts say in their headers what they take, touch a bounded number of keys, and never block for long."""

import re
from collections.abc import Iterator
from importlib.resources import files

import pytest

from heracles.redis import keys
from heracles.redis.scripts import COMMON_ARGUMENTS, FREQUENT, USUAL, WITHOUT_FRAGMENTS, fragments_of, script, source
from tests.redis.conftest import Behind

LUA = files("heracles.redis").joinpath("lua")
PYTHON = files("heracles.redis")
ALL = sorted(entry.name.removesuffix(".lua") for entry in LUA.iterdir() if entry.name.endswith(".lua"))
PARTS = {"state"} | {part for fragments in (USUAL, *FREQUENT.values()) for part in fragments.names}
VERBS = [name for name in ALL if name not in PARTS and name not in WITHOUT_FRAGMENTS]


def header(name: str) -> str:
    lines = source(name).splitlines()
    end = next(at for at, line in enumerate(lines) if not line.startswith("--"))
    return "\n".join(lines[:end])


def code(name: str) -> str:
    return "\n".join(re.sub(r"--.*", "", line) for line in source(name).splitlines())


@pytest.mark.parametrize("name", VERBS)
def test_the_header_names_keys_arguments_and_answer(name: str) -> None:
    text = header(name)
    assert "-- KEYS, ARGV[1..7]: see state.lua" in text
    assert re.search(r"^-- returns ", text, re.MULTILINE)


@pytest.mark.parametrize("name", VERBS)
def test_the_arguments_are_numbered_without_a_hole(name: str) -> None:
    numbers = [int(number) for number in re.findall(r"^-- ARGV\[(\d+)…?\]", header(name), re.MULTILINE)]
    assert numbers == list(range(COMMON_ARGUMENTS + 1, COMMON_ARGUMENTS + 1 + len(numbers)))


@pytest.mark.parametrize("name", VERBS)
def test_what_is_read_is_named(name: str) -> None:
    named = header(name)
    read = {int(number) for part in (*fragments_of(name).names, name) for number in _read(code(part))}
    for number in read - set(range(COMMON_ARGUMENTS + 1)):
        assert f"ARGV[{number}]" in named or f"ARGV[{number}…]" in named, f"ARGV[{number}] is not in the header"


def _read(text: str) -> list[str]:
    return re.findall(r"ARGV\[(\d+)\]", text)


def test_the_call_sites_give_what_the_headers_name() -> None:
    called = dict(_calls())
    assert set(called) == set(VERBS)
    for name, text in called.items():
        fixed = re.findall(r"^-- ARGV\[(\d+)\]", header(name), re.MULTILINE)
        is_open = bool(re.search(r"^-- ARGV\[\d+…\]", header(name), re.MULTILINE))
        given = [part for part in _arguments(text) if "=" not in part]
        if any(part.startswith("*") for part in given):
            assert is_open or len(fixed) >= len(given) - 1, name
        else:
            is_right = len(given) >= len(fixed) if is_open else len(given) == len(fixed)
            assert is_right, f"{name} takes {len(fixed)}, is given {given}"


def _calls() -> Iterator[tuple[str, str]]:
    for entry in PYTHON.iterdir():
        if entry.name.endswith(".py"):
            for found in re.finditer(r'(confirmation)?\.run\(\s*"(\w+)", queue,?', entry.read_text()):
                rest = entry.read_text()[found.end() :]
                # Whether to write in any case is told by the confirmation itself.
                yield found[2], ("first," if found[1] else "") + rest[: _closing(rest)]


def _closing(text: str) -> int:
    depth = 0
    for at, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if depth < 0:
            return at
    raise AssertionError(text)


def _arguments(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text + ","):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [part for part in parts if part]


@pytest.mark.parametrize("name", ALL)
def test_every_kind_of_key_is_in_the_data_model(name: str) -> None:
    kinds = set(re.findall(r"\bK\.(\w+)", code(name)))
    assert kinds <= {*keys.ONE_A_QUEUE, *keys.MANY_A_QUEUE}
    for kind in kinds:
        assert f"P:{kind}:Q" in (keys.__doc__ or ""), kind


@pytest.mark.parametrize("name", ALL)
def test_no_script_looks_through_all_keys(name: str) -> None:
    assert not re.search(r"'(KEYS|SCAN|SMEMBERS|HKEYS|FLUSHALL|FLUSHDB)'", code(name))


@pytest.mark.parametrize("name", [name for name in ALL if name != "core"])
def test_only_one_place_writes_a_status(name: str) -> None:
    text = code(name)
    allowed = 1 if name == "places" else 0  # a record that somebody removed is made anew
    assert len(re.findall(r"status = 'pending'", text)) <= allowed
    assert not re.search(r"'HSET',[^)]*'status'", text)


def test_no_python_looks_through_all_keys_at_once() -> None:
    for entry in PYTHON.iterdir():
        if entry.name.endswith(".py"):
            assert '"KEYS"' not in entry.read_text()


def test_scripts_are_told_apart_by_their_text() -> None:
    assert len({script(name).sha for name in VERBS}) == len(VERBS)


BUILT_IN = {"pcall", "error", "type", "ipairs", "pairs", "tostring", "tonumber", "unpack", "setmetatable", "function"}


@pytest.mark.parametrize("name", VERBS)
def test_nothing_is_called_that_is_not_there(name: str) -> None:
    parts = ("state", *fragments_of(name).names, name)
    text = re.sub(r"'[^'\n]*'", "''", "\n".join(map(code, parts)))
    local = set(re.findall(r"\b(\w+)\b", " ".join(re.findall(r"\b(?:local|for)\b([^=\n]*)", text))))
    local |= set(re.findall(r"\w+", " ".join(re.findall(r"function[^(\n]*\(([^)]*)\)", text))))
    modules = {"core", *parts} - {name}
    if fragments_of(name).law:
        local |= {"law", "made_law"}
    called = set(re.findall(r"(?<![\w.])(\w+(?:\.\w+)?)\(", text))
    defined = set(re.findall(r"function (\w+\.\w+)\(", text))
    for each in called - BUILT_IN - {"and", "or", "not", "if", "return", "in", "until", "while", "elseif"}:
        owner, dot, _ = each.partition(".")
        if dot and owner in modules:
            assert each in defined, each
        elif not dot:
            assert each in local, each


@pytest.mark.parametrize("name", [*VERBS, *sorted(WITHOUT_FRAGMENTS)])
def test_every_script_is_one_that_the_server_takes(name: str, behind: Behind) -> None:
    made = script(name)
    assert behind.command("SCRIPT", "LOAD", made.text).decode() == made.sha
