"""Flags become options, and layers of settings win over one another as they should."""

from pathlib import Path
from typing import Any

import pytest

from heracles.cli.commands import COMMANDS
from heracles.cli.parsing import parse, parsers
from heracles.cli.settings import Settings, read_settings
from heracles.options import Scope, options_of


def flags(*arguments: str) -> dict[str, Any]:
    return dict(parse(("work", *arguments)).given)


def settings(tmp_path: Path, toml: str, *arguments: str) -> Settings:
    path = tmp_path / "worker.toml"
    path.write_text(toml)
    return read_settings(flags(f"--config={path}", *arguments))


def test_only_what_was_given_counts_as_given() -> None:
    assert flags() == {}
    assert flags("--id=a", "--concurrency", "3") == {"id": "a", "concurrency": 3}


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--id=worker-1", "id", "worker-1"),
        ("--queues=a,b", "queues", "a,b"),
        ("--concurrency=3", "concurrency", 3),
        ("--redis=main", "connection", "main"),
        ("--max-retries=0", "max_retries", 0),
        ("--processes=2", "processes", 2),
        ("--lease=1000", "lease", 1000),
        ("--wait-for-store", "wait_for_store", True),
        ("--retry-delay=1500.2", "retry_delay", 1501),
        ("--pause-on-error", "pause_on_error", True),
        ("--pause-on-error=false", "pause_on_error", False),
        ("--pause-on-error=YES", "pause_on_error", True),
        ("--config=a.toml", "config", "a.toml"),
        ("--app=a.b", "app", "a.b"),
        ("--key-prefix=a:b", "key_prefix", "a:b"),
        ("--keyprefix=a:b", "key_prefix", "a:b"),
        ("--url=sqlite:///a.db", "url", "sqlite:///a.db"),
        ("--shutdown-timeout=5000", "shutdown_timeout", 5000),
        ("--log-format=json", "log_format", "json"),
        ("--log-level=debug", "log_level", "debug"),
    ],
)
def test_each_option_of_work(argument: str, name: str, value: object) -> None:
    assert flags(argument) == {name: value}


def test_every_option_with_a_flag_is_on_its_command() -> None:
    for scope, command in {
        Scope.WORK: "work",
        Scope.CLEANUP: "cleanup",
        Scope.LIST: "list",
        Scope.STATUS: "status",
        Scope.JOBS: "jobs",
        Scope.RETRY: "retry",
        Scope.CANCEL: "cancel",
    }.items():
        text = parsers()[command].format_help()
        for option in options_of(scope):
            if option.name not in COMMANDS[command].unshown:
                assert all(flag in text for flag in option.flags), option.name


def test_list_takes_the_options_of_a_store_and_shows_them_not() -> None:
    given = parse(("list", "--url=sqlite:///a.db", "--redis=main", "--key-prefix=a:b", "--app=jobs")).given
    assert given == {"url": "sqlite:///a.db", "connection": "main", "key_prefix": "a:b", "app": "jobs"}
    text = parsers()["list"].format_help()
    assert "--app" in text
    assert not any(flag in text for flag in ("--url", "--redis", "--key-prefix"))


def test_flags_of_cleanup_are_options_too() -> None:
    given = parse(("cleanup", "--status-only", "--dry-run", "--all", "--yes", "--max=5", "--retention=60")).given
    assert given == {"status_only": True, "dry_run": True, "all": True, "yes": True, "max": 5, "retention": 60}


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    layers = settings(tmp_path, 'id = "file"\nlease = 1000\nmaxRetries = 0', "--id=flag")
    assert layers.value("id") == "flag"
    assert layers.value("lease") == 1000
    assert layers.value("max_retries") == 0
    assert layers.value("processes") == 1
    assert layers.given("processes") is None


def test_a_flag_that_says_false_wins_over_a_file_that_says_true(tmp_path: Path) -> None:
    assert settings(tmp_path, "pauseOnError = true", "--pause-on-error=false").value("pause_on_error") is False


@pytest.mark.parametrize(
    "line", ['queues = "emails, reports"', 'queues = ["emails", "reports"]', "[queues.emails]\n[queues.reports]"]
)
def test_queues_of_a_file_as_text_list_or_table(line: str, tmp_path: Path) -> None:
    assert settings(tmp_path, line).queues == ("emails", "reports")


def test_queues_of_the_command_line_win_and_keep_their_settings_in_the_file(tmp_path: Path) -> None:
    layers = settings(tmp_path, "[queues.emails]\nmaxRetries = 1\n[queues.other]", "--queues=emails,emails")
    assert layers.queues == ("emails",)
    assert layers.of_queue("emails") == {"max_retries": 1}


def test_settings_of_a_queue_from_flag_then_its_table_then_the_files_top(tmp_path: Path) -> None:
    toml = "maxRetries = 1\nretryDelay = 1\npauseOnError = true\n[queues.emails]\nmaxRetries = 2\nretryDelay = 2"
    assert settings(tmp_path, toml, "--max-retries=3").of_queue("emails") == {
        "max_retries": 3,
        "retry_delay": 2,
        "pause_on_error": True,
    }


def test_concurrency_is_the_workers_except_in_a_queues_own_table(tmp_path: Path) -> None:
    toml = "concurrency = 9\n[queues.emails]\nconcurrency = 4\n[queues.reports]"
    layers = settings(tmp_path, toml)
    assert layers.of_queue("emails") == {"concurrency": 4}
    assert layers.of_queue("reports") == {}
    assert layers.given("concurrency") == 9
