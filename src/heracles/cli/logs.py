"""Log lines on standard error: for people, or as JSON; and none before the start has succeeded."""

import json
import logging
import math
import os
import sys
from collections import deque
from datetime import datetime
from typing import Any, TextIO

from heracles.cli.usage import escaped
from heracles.units import to_iso

#: What every record has anyway; all else on a record was given by whoever logged.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: Which of a job's record a person wants to see on the line, in this order.
_IDS = ("queue_name", "job_id", "dispatch_id")
_DIM, _RESET = "\x1b[2m", "\x1b[0m"
#: From which level on which colour; the last that fits.
_COLOURS = (
    (logging.NOTSET, "\x1b[2m"),
    (logging.INFO, "\x1b[36m"),
    (logging.INFO + 1, "\x1b[32m"),
    (logging.WARNING, "\x1b[33m"),
    (logging.ERROR, "\x1b[31m"),
)
#: More than any start logs; at the limit the oldest are let go.
_MOST_HELD = 10_000


class HeldLogs:
    """Takes the root logger over, and keeps what is logged until ``release``.

    So that a start that fails says one line and nothing else.
    """

    def __init__(self, *, worker_id: str, log_format: str, level: str) -> None:
        self._handler = logging.StreamHandler(sys.stderr)
        self._handler.setFormatter(_formatter(log_format, worker_id, sys.stderr))
        self._held = _Held()
        root = logging.getLogger()
        root.setLevel(level.upper())
        root.addHandler(self._held)

    def release(self) -> None:
        """Show what was kept, and from now on everything at once. Safe twice."""
        root = logging.getLogger()
        # An app that has set up the handlers of the root logger itself has removed ours, and wants its own lines.
        if self._held not in root.handlers:
            return
        root.removeHandler(self._held)
        root.addHandler(self._handler)
        # Another thread may be keeping its last one.
        while self._held.records:
            self._handler.handle(self._held.records.popleft())
        self._held.close()


class _Held(logging.Handler):
    """Keeps records. The handlers of the standard library bring pickle and sockets, half a megabyte."""

    def __init__(self) -> None:
        super().__init__()
        self.records: deque[logging.LogRecord] = deque(maxlen=_MOST_HELD)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)


def _formatter(log_format: str, worker_id: str, stream: TextIO) -> logging.Formatter:
    if log_format == "json":
        return JsonFormatter(worker_id)
    return TextFormatter(worker_id, in_colour=stream.isatty() and "NO_COLOR" not in os.environ)


class TextFormatter(logging.Formatter):
    """One line a record, whatever its message holds; a traceback follows, each of its lines marked."""

    def __init__(self, worker_id: str, *, in_colour: bool) -> None:
        super().__init__()
        self._worker_id = worker_id
        self._in_colour = in_colour

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        parts = (
            self._dim(f"{time}.{int(record.msecs):03d}"),
            self._coloured(record.levelno, f"{record.levelname:<7}"),
            self._dim(f"{self._worker_id} {record.name}"),
            escaped(record.getMessage()),
            self._dim(_ids(record)),
        )
        return "\n".join([" ".join(filter(None, parts)), *map(_marked, self._details(record))])

    def _details(self, record: logging.LogRecord) -> list[str]:
        return [line for text in (_exception(self, record), record.stack_info) if text for line in text.split("\n")]

    def _dim(self, text: str) -> str:
        return f"{_DIM}{text}{_RESET}" if self._in_colour and text else text

    def _coloured(self, level: int, text: str) -> str:
        colour = [code for start, code in _COLOURS if level >= start][-1]
        return f"{colour}{text}{_RESET}" if self._in_colour else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``worker``, ``pid``, ``logger``, ``message``, and what was given."""

    def __init__(self, worker_id: str) -> None:
        super().__init__()
        self._worker_id = worker_id

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": to_iso(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "worker": self._worker_id,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: _plain(value) for key, value in vars(record).items() if key not in _STANDARD and key not in line}
        if exception := _exception(self, record):
            line["exception"] = exception
        if record.stack_info:
            line["stack"] = record.stack_info
        # ASCII only: whatever reads it, lone surrogates and line separators harm nobody.
        return json.dumps(line)


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    """The traceback; of a job's failure only its text is left."""
    if record.exc_info and record.exc_info[0]:
        return formatter.formatException(record.exc_info)
    return record.exc_text


def _ids(record: logging.LogRecord) -> str:
    found = [str(value) for name in _IDS if (value := getattr(record, name, None))]
    return escaped(f"[{' '.join(found)}]") if found else ""


def _marked(line: str) -> str:
    return f"    | {escaped(line)}"


def _plain(value: Any) -> Any:
    """The value as JSON has it, or its text."""
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return repr(value)
