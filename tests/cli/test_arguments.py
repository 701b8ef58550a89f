"""Wrong arguments: exit code 2 and one line that says what to do. Right ones: see test_parsing."""

from pathlib import Path

import pytest

from tests.cli.process import run


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give a command: work, cleanup, list, status, jobs, retry, cancel, demo"),
        (("wrok",), "unknown command 'wrok'"),
        (("--frobnicate",), "unknown option --frobnicate"),
        (("work", "--id=a", "--cocurrency=3"), "did you mean --concurrency?"),
        (("work", "--id=a", "--conc=3"), "unknown option --conc"),
        (("work", "--id=a", "emails"), "unexpected argument 'emails'"),
        (("work", "--id"), "--id: expected one argument"),
        (("work", "--id=a", "--id=b"), "--id is given twice"),
        (("work", "--id="), "--id='' is not allowed"),
        (("work", "--id=a b"), "--id='a b' is not allowed"),
        (("work", "--id=a", "--concurrency=0"), "--concurrency=0 is not allowed: give a whole number from 1"),
        (("work", "--id=a", "--concurrency=many"), "--concurrency='many' is not allowed"),
        (("work", "--id=a", "--concurrency=1.5"), "--concurrency=1.5 is not allowed"),
        (("work", "--id=a", "--retry-delay=-5"), "--retry-delay=-5 is not allowed: give milliseconds from 0"),
        (("work", "--id=a", "--lease=nan"), "--lease=nan is not allowed"),
        (
            ("work", "--id=a", "--pause-on-error=perhaps"),
            "--pause-on-error='perhaps' is not allowed: give true or false",
        ),
        (("work", "--id=a", "--log-format=xml"), "--log-format='xml' is not allowed: give one of text, json"),
        (("work", "--id=a", "--queues=emails,no spaces"), "queue name 'no spaces' is not allowed"),
        (("work", "--id=a", "--queues=emails,"), "queue name '' is not allowed"),
        (("work", "--id=a", "--keyprefix={x}"), "--key-prefix='{x}' is not allowed"),
        (("cleanup", "--retention=-1"), "--retention=-1 is not allowed: give seconds from 0"),
        (("cleanup", "--queues=a*"), "queue name 'a*' is not allowed"),
        (("status", "--id=a"), "unknown option --id"),
        (("list", "--queues=a"), "unknown option --queues"),
        (("demo", "--app=jobs"), "unknown option --app"),
        (("jobs", "--status=broken"), "--status='broken' is not allowed: give one of pending"),
        (("jobs", "--limit=0"), "--limit=0 is not allowed: give a whole number from 1"),
        (("jobs", "--queue=a*"), "--queue='a*' is not allowed: give 1 to 128 letters"),
        (("jobs", "emails"), "unexpected argument 'emails'"),
        (("retry",), "arguments are required: ID"),
        (("retry", "a", "b"), "unexpected argument 'b': give one ID"),
        (("retry", "a*"), "ID='a*' is not allowed"),
        (("cancel", "a\nb"), r"ID='a\nb' is not allowed"),
        (("cancel", "a", "--queue={x}"), "--queue='{x}' is not allowed"),
    ],
)
def test_a_wrong_argument_is_one_line_with_the_way_out(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    ended = run(*arguments, cwd=tmp_path)
    assert ended.code == 2
    assert says in ended.error
    assert ended.error.startswith("heracles")


def test_control_characters_of_an_argument_do_not_reach_the_terminal(tmp_path: Path) -> None:
    error = run("work", "--id=a", "\x1b[31mred\nforged line", cwd=tmp_path).error
    assert "\x1b" not in error
    assert r"\nforged line" in error


def test_a_password_in_a_misplaced_url_is_not_shown(tmp_path: Path) -> None:
    for arguments in (("redis://:secret@host",), ("--ulr=redis://:secret@host",), ("--url", "reddis://u:secret@h")):
        error = run("work", "--id=a", "--app=json", *arguments, cwd=tmp_path).error
        assert "secret" not in error


@pytest.mark.parametrize("command", ["work", "cleanup", "list", "status", "jobs", "retry", "cancel", "demo"])
def test_help_shows_every_option_and_an_example(command: str, tmp_path: Path) -> None:
    ended = run(command, "--help", cwd=tmp_path)
    assert ended.code == 0
    assert ended.err == ""
    assert f"  heracles {command}" in ended.out
    assert ("--key-prefix" in ended.out) is (command not in ("demo", "list"))


def test_help_and_version_of_the_whole(tmp_path: Path) -> None:
    assert "cleanup" in run("--help", cwd=tmp_path).out
    version = run("--version", cwd=tmp_path)
    assert (version.code, version.out.split()[0]) == (0, "heracles")
