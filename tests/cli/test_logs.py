"""Log lines for people and for machines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from heracles.cli.logs import HeldLogs, JsonFormatter, TextFormatter
from heracles.cli.usage import escaped


def record(message: str, *arguments: object, level: int = logging.INFO, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("heracles.job.Greet", level, "file.py", 1, message, arguments, None)
    vars(made).update(more)
    return made


def failed(message: str) -> logging.LogRecord:
    made = record("it failed", level=logging.ERROR)
    try:
        int(message)
    except ValueError as error:
        made.exc_info = (ValueError, ValueError(message), error.__traceback__)
    return made


def text(made: logging.LogRecord, *, in_colour: bool = False) -> str:
    return TextFormatter("w", in_colour=in_colour).format(made)


def as_json(made: logging.LogRecord) -> dict[str, object]:
    line = JsonFormatter("w").format(made)
    assert "\n" not in line
    found: dict[str, object] = json.loads(line)
    return found


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain ünïcode 漢字 😀", "plain ünïcode 漢字 😀"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x1b[31m\x00\x7f\x9b", r"\x1b[31m\x00\x7f\x9b"),
        ("\u2028\u2029\u202e\ud800", r"\u2028\u2029\u202e\ud800"),
    ],
)
def test_what_could_move_the_cursor_is_escaped(given: str, shown: str) -> None:
    assert escaped(given) == shown
    assert shown in text(record("%s", given))


def test_a_line_has_time_level_worker_logger_message_and_ids() -> None:
    line = text(record("sent", queue_name="emails", job_id="job_1", dispatch_id="dispatch_1"))
    assert line.endswith("INFO    w heracles.job.Greet sent [emails job_1 dispatch_1]")


def test_each_line_of_a_traceback_is_marked_so_that_none_can_be_forged() -> None:
    first, *rest = text(failed("real\n2026-01-01 00:00:00.000 INFO forged \x1b[31m")).split("\n")
    assert first.endswith("it failed")
    assert all(line.startswith("    | ") for line in rest)
    assert rest[-1] == r"    | 2026-01-01 00:00:00.000 INFO forged \x1b[31m"


def test_colours_only_where_asked_for() -> None:
    assert "\x1b" not in text(record("hello"))
    assert "\x1b[31m" in text(record("hello", level=logging.ERROR), in_colour=True)
    assert "\x1b[2m" in text(record("hello", level=5), in_colour=True)


def test_json_keeps_what_was_given() -> None:
    line = as_json(record("sent %d", 3, job_id="job_1", odd=object, size=1.5, endless=float("inf"), nothing=None))
    assert line["message"] == "sent 3"
    assert line["level"] == "info"
    assert line["job_id"] == "job_1"
    assert line["size"] == 1.5
    assert line["endless"] == "inf"
    assert line["nothing"] is None
    assert str(line["odd"]).startswith("<class")
    assert str(line["time"]).endswith("Z")


def test_json_has_the_traceback_and_bears_surrogates() -> None:
    line = as_json(failed("lone \ud800"))
    assert "ValueError: lone \ud800" in str(line["exception"])


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.mark.usefixtures("root")
def test_nothing_is_shown_before_the_release_and_all_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs = HeldLogs(worker_id="w", log_format="text", level="info")
    logger = logging.getLogger("heracles.test")
    logger.info("first")
    logger.debug("too quiet")
    assert capsys.readouterr().err == ""
    logs.release()
    logger.info("second")
    logs.release()
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()] == ["first", "second"]


@pytest.mark.usefixtures("root")
def test_of_what_is_kept_the_oldest_are_let_go(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heracles.cli.logs._MOST_HELD", 2)
    logs = HeldLogs(worker_id="w", log_format="text", level="info")
    for word in ("first", "second", "third"):
        logging.getLogger("heracles.test").info(word)
    logs.release()
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()] == ["second", "third"]


@pytest.mark.usefixtures("root")
def test_an_app_that_sets_up_logging_itself_keeps_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    logs = HeldLogs(worker_id="w", log_format="text", level="info")
    own = io.StringIO()
    logging.basicConfig(stream=own, force=True)
    logs.release()
    logging.getLogger("heracles.test").warning("mine")
    assert capsys.readouterr().err == ""
    assert "mine" in own.getvalue()


def test_of_a_jobs_failure_only_the_text_of_its_traceback_is_left() -> None:
    made = record("it failed", level=logging.ERROR)
    made.exc_text = "Traceback …\nValueError: no"
    assert text(made).split("\n")[1:] == ["    | Traceback …", "    | ValueError: no"]
    assert as_json(made)["exception"] == made.exc_text
