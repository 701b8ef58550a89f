"""The page on reliability names a test for each promise and each fault, and those tests exist."""

import ast
import re
from functools import cache

import pytest

from tests.docs.blocks import REPOSITORY

PAGE = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
#: Tables whose rows each end with a test.
TESTED = ("| promise | test |", "| fault | outcome | test |")


@cache
def _tests_in(file: str) -> frozenset[str]:
    path = REPOSITORY / "tests" / file
    if not path.exists():
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED.findall(PAGE))))
def test_each_test_that_it_names_exists(file: str, name: str) -> None:
    assert name in _tests_in(file)


def test_each_row_names_one() -> None:
    rows = [line for table in _tables() for line in table[2:]]
    assert len(rows) > 80
    assert [row for row in rows if not NAMED.search(row.rsplit("|", 2)[1])] == []


def _tables() -> list[list[str]]:
    blocks = [block.splitlines() for block in PAGE.split("\n\n")]
    return [block for block in blocks if block[0] in TESTED]
