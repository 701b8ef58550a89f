"""Every option, once: default, unit, bounds, flag, configuration key, help.

The command line, the configuration file and the table in the docs are made from here. An ``Option`` checks a value and
turns it into the unit in which the rest of the package computes: whole milliseconds, whole seconds, or the value.
"""

import difflib
import enum
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import msgspec

from heracles.errors import OptionError, shown
from heracles.model import JobOverlapBehavior, JobStatus, Value
from heracles.units import ONE_SECOND, milliseconds, whole


class Unit(enum.Enum):
    """What a value is, and how it is checked."""

    MS = "ms"
    SECONDS = "s"
    BYTES = "bytes"
    COUNT = "count"
    FLAG = "flag"
    TEXT = "text"
    CHOICE = "choice"


class Scope(enum.Enum):
    """Where an option may be given."""

    DISPATCH = "dispatch"
    JOB = "Job.register"
    QUEUE = "Queue.get, create_queue"
    REDIS = "RedisTransport"
    SQLITE = "SqliteTransport"
    WORK = "heracles work"
    CLEANUP = "heracles cleanup"
    LIST = "heracles list"
    STATUS = "heracles status"
    JOBS = "heracles jobs"
    RETRY = "heracles retry"
    CANCEL = "heracles cancel"


#: The largest number of milliseconds or seconds: about 10 years, far below where any store's numbers end.
LONGEST_MS = 10 * 366 * 86_400_000
LONGEST_S = LONGEST_MS // 1000


class Option(Value, frozen=True, kw_only=True):
    """One option. ``default`` None means that nothing is assumed."""

    name: str
    unit: Unit
    help: str
    scopes: frozenset[Scope]
    default: Any = None
    minimum: int = 0
    maximum: int = 2**53
    choices: tuple[str, ...] = ()
    pattern: str = ""
    rule: str = ""
    """The pattern in words."""
    flags: tuple[str, ...] = ()
    """Command-line spellings, the first one shown."""
    config_key: str | None = None

    def check(self, value: Any) -> Any:
        """The value in this option's unit.

        Raises:
            OptionError: it is of the wrong type or out of bounds; names the option and what is allowed.
        """
        match self.unit:
            case Unit.FLAG:
                if not isinstance(value, bool):
                    raise self._wrong(value, "True or False")
                return value
            case Unit.TEXT:
                if not isinstance(value, str) or not re.fullmatch(self.pattern or r"[\s\S]+", value):
                    raise self._wrong(value, self.rule or "a non-empty string")
                return value
            case Unit.CHOICE:
                if value not in self.choices:
                    raise self._wrong(value, "one of " + ", ".join(self.choices))
                return value
            case Unit.MS:
                return self._number(value, milliseconds(value) if isinstance(value, timedelta) else value)
            case Unit.SECONDS:
                return self._number(value, whole(value, ONE_SECOND) if isinstance(value, timedelta) else value)
            case _:
                return self._number(value, value)

    def _number(self, given: Any, number: Any) -> int:
        whole = self.unit in (Unit.COUNT, Unit.BYTES)
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not self.minimum <= number <= self.maximum  # false for NaN too
            or (whole and number != int(number))
        ):
            raise self._wrong(given, self.allowed)
        return number if isinstance(number, int) else milliseconds(number)

    @property
    def allowed(self) -> str:
        """The bounds in words."""
        what = {
            Unit.MS: "milliseconds (or a timedelta)",
            Unit.SECONDS: "seconds (or a timedelta)",
            Unit.BYTES: "bytes",
        }.get(self.unit, "a whole number")
        return f"{what} from {self.minimum} to {self.maximum}"

    def _wrong(self, value: Any, allowed: str) -> OptionError:
        return OptionError(f"{self.name}={shown(value)} is not allowed: give {allowed}")


_EVERY_TRANSPORT = (Scope.REDIS, Scope.SQLITE)
#: The commands that read an app and look at a store.
_EVERY_COMMAND = (Scope.WORK, Scope.CLEANUP, Scope.LIST, Scope.STATUS, Scope.JOBS, Scope.RETRY, Scope.CANCEL)
_QUEUE_NAME = r"[A-Za-z0-9_.-]{1,128}"
_QUEUE_RULE = "1 to 128 letters, digits, _, . or -"
#: What a key prefix or a consumer name may be: they become parts of keys, and braces would move a key's cluster slot.
_INVISIBLE = r"\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_KEY_PART = rf"[^\s{{}}*?\[\]\\\x00-\x1f\x7f-\x9f\ud800-\udfff{_INVISIBLE}]{{1,256}}"
_KEY_RULE = "1 to 256 characters without white space, control characters, invisible ones and any of {}*?[]\\"


def _option(name: str, unit: Unit, *scopes: Scope, help: str, **more: Any) -> Option:
    if unit is Unit.MS:
        more.setdefault("maximum", LONGEST_MS)
    if unit is Unit.SECONDS:
        more.setdefault("maximum", LONGEST_S)
    return Option(name=name, unit=unit, scopes=frozenset(scopes), help=help, **more)


_ALL = (
    # ---- what a job can be given: at dispatch, on the class, or for a whole queue
    _option("priority", Unit.COUNT, Scope.DISPATCH, Scope.JOB, default=10, maximum=100, help="lower runs first"),
    _option(
        "max_retries", Unit.COUNT, Scope.DISPATCH, Scope.JOB, Scope.QUEUE, Scope.WORK, default=3, maximum=1_000_000,
        flags=("--max-retries",), config_key="maxRetries", help="how often a job that raises is run again",
    ),
    _option(
        "retry_delay", Unit.MS, Scope.DISPATCH, Scope.JOB, Scope.QUEUE, Scope.WORK, default=5000,
        flags=("--retry-delay",), config_key="retryDelay", help="how long a failed job waits for its next run",
    ),
    _option(
        "timeout", Unit.MS, Scope.DISPATCH, Scope.JOB, minimum=1,
        help="the longest that one run may take; it then counts as failed",
    ),
    _option(
        "overlap_behavior", Unit.CHOICE, Scope.DISPATCH, Scope.JOB, default=JobOverlapBehavior.ALLOW_OVERLAP,
        choices=tuple(JobOverlapBehavior),
        help="whether two dispatches of one job id may run at once; without job ids of your own no two are equal",
    ),
    _option(
        "overlap_delay", Unit.MS, Scope.DISPATCH, Scope.JOB, default=0,
        help="with NO_OVERLAP: how long after this run has ended the next one of its job id may start",
    ),
    _option(
        "status_ttl", Unit.SECONDS, Scope.DISPATCH, Scope.JOB, *_EVERY_TRANSPORT, default=86_400, minimum=1,
        help="how long a finished job's status record and result stay",
    ),
    _option(
        "delay", Unit.MS, Scope.DISPATCH, help="start no earlier than this long after the store took the dispatch",
    ),
    # ---- a queue
    _option(
        "concurrency", Unit.COUNT, Scope.QUEUE, Scope.WORK, default=1, minimum=1, maximum=100_000,
        flags=("--concurrency",), config_key="concurrency", help="how many jobs run at once",
    ),
    _option(
        "pause_on_error", Unit.FLAG, Scope.QUEUE, Scope.WORK, default=False,
        flags=("--pause-on-error",), config_key="pauseOnError", help="a job that fails for good pauses its queue",
    ),
    # ---- transports
    _option(
        "connection", Unit.TEXT, Scope.REDIS, *_EVERY_COMMAND, default="default",
        flags=("--redis",), config_key="redis", help="the name of a registered Redis connection",
    ),
    _option(
        "key_prefix", Unit.TEXT, Scope.REDIS, *_EVERY_COMMAND, default="elysium:heracles",
        pattern=_KEY_PART, rule=_KEY_RULE, flags=("--key-prefix", "--keyprefix"), config_key="keyPrefix",
        help="what all keys in Redis begin with",
    ),
    _option(
        "consumer_group", Unit.TEXT, Scope.REDIS, default="workers",
        pattern=_KEY_PART, rule=_KEY_RULE, help="the consumer group of the streams",
    ),
    _option(
        "consumer_name", Unit.TEXT, Scope.REDIS,
        pattern=_KEY_PART, rule=_KEY_RULE, help="the name in the consumer group; generated, unique",
    ),
    _option("path", Unit.TEXT, Scope.SQLITE, default="heracles.db", help="the database file, or :memory:"),
    _option(
        "poll_interval", Unit.MS, *_EVERY_TRANSPORT, default=1000, minimum=10, maximum=60_000,
        help="the longest an idle worker waits before it looks again by itself; jobs arrive by wake-up",
    ),
    _option(
        "batch_size", Unit.COUNT, *_EVERY_TRANSPORT, default=10, maximum=1000,
        help="the most jobs a worker may take ahead of its free slots; it takes none ahead, whatever is given",
    ),
    _option(
        "lease", Unit.MS, *_EVERY_TRANSPORT, Scope.WORK, default=30_000, minimum=100, maximum=86_400_000,
        flags=("--lease",), config_key="lease",
        help="how long after its worker was last heard of a running job is run again elsewhere",
    ),
    _option(
        "max_deliveries", Unit.COUNT, *_EVERY_TRANSPORT, default=5, minimum=1, maximum=1000,
        help="how often a job may take its worker down before it is FAILED",
    ),
    _option(
        "dispatch_timeout", Unit.MS, *_EVERY_TRANSPORT, default=10_000,
        help="how long a producer's call waits for a store that is away",
    ),
    _option(
        "durability", Unit.CHOICE, *_EVERY_TRANSPORT, default="memory", choices=("memory", "replicated", "fsync"),
        help="what an acknowledged dispatch, cancel or pause has survived; on SQLite, not given is more: see its page",
    ),
    _option(
        "cleanup_completed_jobs", Unit.FLAG, *_EVERY_TRANSPORT, default=True,
        help="remove finished entries as jobs finish and by a pass every 5 minutes",
    ),
    _option(
        "completed_job_retention", Unit.SECONDS, *_EVERY_TRANSPORT, default=3600,
        help="how long finished entries stay in the stream",
    ),
    _option(
        "max_stream_size", Unit.COUNT, *_EVERY_TRANSPORT, default=1000, maximum=10_000_000,
        help="finished entries kept per stream; unfinished ones are never trimmed",
    ),
    _option(
        "max_payload_bytes", Unit.BYTES, *_EVERY_TRANSPORT, default=1 << 20, minimum=2, maximum=512 << 20,
        help="the largest encoded arguments of one dispatch",
    ),
    _option(
        "max_result_bytes", Unit.BYTES, *_EVERY_TRANSPORT, default=1 << 20, minimum=2, maximum=512 << 20,
        help="the largest encoded result; a larger one fails the job",
    ),
    # ---- the command line alone
    _option("id", Unit.TEXT, Scope.WORK, pattern=_KEY_PART, rule=_KEY_RULE, flags=("--id",), config_key="id",
            help="the worker's name"),
    _option("queues", Unit.TEXT, Scope.WORK, Scope.CLEANUP, Scope.STATUS, default="default", flags=("--queues",),
            config_key="queues", help="queue names, separated by commas"),
    _option("processes", Unit.COUNT, Scope.WORK, default=1, minimum=1, maximum=1024, flags=("--processes",),
            config_key="processes", help="how many worker processes; their ids get .1, .2, …"),
    _option("shutdown_timeout", Unit.MS, Scope.WORK, flags=("--shutdown-timeout",), config_key="shutdownTimeout",
            help="after a first signal, how long until it acts as on a second one"),
    _option("wait_for_store", Unit.FLAG, Scope.WORK, default=False, flags=("--wait-for-store",),
            config_key="waitForStore", help="wait for a store that is away at the start, instead of exiting with 1"),
    _option("log_format", Unit.CHOICE, Scope.WORK, default="text", choices=("text", "json"), flags=("--log-format",),
            config_key="logFormat", help="how log lines look"),
    _option("log_level", Unit.CHOICE, Scope.WORK, default="info", choices=("debug", "info", "warning", "error"),
            flags=("--log-level",), config_key="logLevel", help="the least severe log lines shown"),
    _option("app", Unit.TEXT, *_EVERY_COMMAND, flags=("--app",), config_key="app",
            help="the module that registers the jobs"),
    _option("url", Unit.TEXT, *_EVERY_COMMAND, flags=("--url",), config_key="url",
            help="the store: redis://…, rediss://…, redis+sentinel://…, redis+cluster://…, sqlite:///…"),
    _option("config", Unit.TEXT, *_EVERY_COMMAND, flags=("--config",), help="a configuration file, JSON or TOML"),
    _option("retention", Unit.SECONDS, Scope.CLEANUP, default=3600, flags=("--retention",),
            help="jobs finished longer ago than this are removed"),
    _option("max", Unit.COUNT, Scope.CLEANUP, default=1000, flags=("--max",),
            help="finished entries kept per queue"),
    _option("status_only", Unit.FLAG, Scope.CLEANUP, default=False, flags=("--status-only",),
            help="remove status records only, keep entries"),
    _option("dry_run", Unit.FLAG, Scope.CLEANUP, default=False, flags=("--dry-run",),
            help="print the same report, remove nothing"),
    _option("all", Unit.FLAG, Scope.CLEANUP, default=False, flags=("--all",),
            help="remove every entry and record; running jobs are cancelled"),
    _option("yes", Unit.FLAG, Scope.CLEANUP, default=False, flags=("--yes",),
            help="with --all: do not ask first"),
    _option("json", Unit.FLAG, Scope.STATUS, Scope.JOBS, default=False, flags=("--json",),
            help="print one JSON object"),
    _option("queue", Unit.TEXT, Scope.JOBS, Scope.RETRY, Scope.CANCEL, default="default", flags=("--queue",),
            pattern=_QUEUE_NAME, rule=_QUEUE_RULE, help="the queue's name"),
    _option("status", Unit.CHOICE, Scope.JOBS, choices=tuple(JobStatus), flags=("--status",),
            help="only the jobs that have it"),
    _option("limit", Unit.COUNT, Scope.JOBS, default=100, minimum=1, maximum=100_000, flags=("--limit",),
            help="the most jobs shown, newest first"),
)  # fmt: skip

OPTIONS: Mapping[str, Option] = {option.name: option for option in _ALL}


@cache
def options_of(scope: Scope) -> tuple[Option, ...]:
    """The options that may be given there, in the order of declaration."""
    return tuple(option for option in _ALL if scope in option.scopes)


def check_options(given: Mapping[str, Any], scope: Scope, where: str, also: Collection[str] = ()) -> dict[str, Any]:
    """All given values checked; those that are None are left out, as not given.

    Args:
        also: what may be given there too, and is checked elsewhere; for the error that names all choices.

    Raises:
        OptionError: a value is wrong, or an option is not known there; names it and what is allowed.
    """
    for name in given:
        if name not in OPTIONS or scope not in OPTIONS[name].scopes:
            raise _unknown(name, sorted({option.name for option in options_of(scope)}.union(also)), where)
    return {name: OPTIONS[name].check(value) for name, value in given.items() if value is not None}


def _unknown(name: str, known: Collection[str], where: str) -> OptionError:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? It" if close else "it"
    return OptionError(f"{where} has no option {shown(name)}: {hint} takes {', '.join(known)}")


def first_given(name: str, layers: Iterable[Mapping[str, Any]]) -> Any:
    """The value of the first layer that has one, else the option's default. Layers hold checked values."""
    for layer in layers:
        if layer.get(name) is not None:
            return layer[name]
    return OPTIONS[name].default


class StoreSettings(Value, frozen=True, kw_only=True):
    """The checked options that all transports have; fields as in ``OPTIONS``, with their unit in the name."""

    poll_interval_ms: int
    batch_size: int
    lease_ms: int
    max_deliveries: int
    dispatch_timeout_ms: int
    durability: str
    status_ttl_s: int
    cleanup_completed_jobs: bool
    completed_job_retention_s: int
    max_stream_size: int
    max_payload_bytes: int
    max_result_bytes: int

    @classmethod
    def of(cls, checked: Mapping[str, Any]) -> "StoreSettings":
        """From what ``check_options`` returned, defaults filled in."""
        values = {}
        for field in msgspec.structs.fields(cls):
            name = re.sub("_(ms|s)$", "", field.name)
            values[field.name] = first_given(name, (checked,))
        return cls(**values)


_NOT_IN_ID = re.compile(r"[\s{}*?\[\]\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
#: The longest job id, dispatch id, in characters.
LONGEST_ID = 256


def check_queue_name(name: Any) -> str:
    """The name.

    Raises:
        OptionError: it is not 1 to 128 of letters, digits, ``_``, ``.`` and ``-``.
    """
    if not isinstance(name, str) or not re.fullmatch(_QUEUE_NAME, name):
        raise OptionError(f"queue name {shown(name, 200)} is not allowed: give {_QUEUE_RULE}")
    return name


def check_id(value: Any, what: str = "job_id") -> str:
    """A job id, or with ``what="dispatch_id"`` a dispatch id.

    Raises:
        OptionError: it is empty, over 256 characters, or has a character that ids may not have.
    """
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= LONGEST_ID
        or _NOT_IN_ID.search(value)
        or not (value.isascii() or _is_visible(value))
    ):
        raise OptionError(
            f"{what}={shown(value, 200)} is not allowed: give 1 to {LONGEST_ID} characters without white space, "
            "control characters, invisible ones and any of {}*?[]\\"
        )
    if what == "dispatch_id" and ":" in value:
        raise OptionError(f"{what}={shown(value, 200)} is not allowed: a dispatch id has no ':'")
    return value


def _is_visible(text: str) -> bool:
    """Whether it has no format characters (zero-width ones, marks of direction): ids that look equal are equal."""
    return all(unicodedata.category(character) != "Cf" for character in text)
