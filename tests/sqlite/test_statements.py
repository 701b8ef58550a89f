"""The statements: each finds its rows by an index, however many there are, and each is used."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import heracles.sqlite
from heracles.sqlite.queries import SCHEMA, SQL, SQL_FOR_ONE

#: What a plan says where every row is looked at. Tables of a few rows, and lists that were handed over, may be.
SMALL = {"queues", "store", "workers", "json_each", "sqlite_master", "CONSTANT", "(subquery-1)", "ended"}
ENDINGS = ("endings_in_stream", "expired_endings", "endings_with_records", "newest_endings")
STATEMENTS = [name for name, text in SQL.items() if not text.startswith(("PRAGMA", "BEGIN", "COMMIT", "ROLLBACK"))]


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    for statement in SCHEMA:
        connection.execute(statement)
    yield connection
    connection.close()


def _plan(connection: sqlite3.Connection, name: str) -> list[str]:
    named = dict.fromkeys(re.findall(r":(\w+)", SQL[name]), 1) | {"ids": "[1]"}
    by_position = (1,) * SQL[name].count("?")
    return [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + SQL[name], by_position or named)]


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_looks_at_every_row(connection: sqlite3.Connection, name: str) -> None:
    scanned = {step.split()[1] for step in _plan(connection, name) if step.startswith("SCAN")}
    assert scanned <= SMALL, _plan(connection, name)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("ready_jobs", "jobs_ready"),
        ("any_ready", "jobs_ready"),
        ("due_jobs", "jobs_waiting"),
        ("first_times", "jobs_waiting"),
        ("first_times", "jobs_held"),
        ("count_scheduled", "jobs_waiting"),
        ("ended_leases", "jobs_held"),
        ("held_deliveries", "jobs_held"),
        ("first_in_line", "jobs_line"),
        ("open_of_job", "jobs_named_open"),
        ("latest_of_job", "jobs_named_closed"),
        ("job_by_dispatch", "jobs_dispatch"),
        ("expired_endings", "endings_expiring"),
        ("endings_expiring_at", "endings_expiring"),
        ("endings_in_stream", "endings_streams"),
        ("endings_with_records", "endings_records"),
        ("count_entries", "endings_streams"),
        ("count_finished", "endings_records"),
        ("newest_pending", "jobs_unfinished"),
        ("newest_running", "jobs_held"),
        ("newest_retrying", "jobs_retrying"),
        ("newest_endings", "endings_records"),
        ("unfinished_jobs", "jobs_unfinished"),
    ],
)
def test_each_search_has_its_index(connection: sqlite3.Connection, name: str, index: str) -> None:
    assert any(f" {index} " in f"{step} " for step in _plan(connection, name)), _plan(connection, name)


@pytest.mark.parametrize("name", ["ready_jobs", "due_jobs", "ended_leases", "first_in_line", *ENDINGS])
def test_what_is_taken_in_order_is_not_sorted(connection: sqlite3.Connection, name: str) -> None:
    assert not any("TEMP B-TREE" in step for step in _plan(connection, name)), _plan(connection, name)


@pytest.mark.parametrize("name", SQL_FOR_ONE)
def test_a_statement_for_one_id_reads_no_list(connection: sqlite3.Connection, name: str) -> None:
    named = dict.fromkeys(re.findall(r":(\w+)", SQL_FOR_ONE[name]), 1)
    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + SQL_FOR_ONE[name], named)]
    assert plan
    assert all("INTEGER PRIMARY KEY (rowid=?)" in step for step in plan), plan


def test_each_statement_is_used() -> None:
    folder = Path(heracles.sqlite.__file__).parent
    code = "".join(file.read_text() for file in folder.glob("*.py"))
    assert [name for name in SQL if f'"{name}"' not in code] == []


def test_the_schema_may_be_made_again(connection: sqlite3.Connection) -> None:
    for statement in SCHEMA:
        connection.execute(statement)
