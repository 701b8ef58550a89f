"""Which commands there are: what each one says of itself, and where its options stand."""

from collections.abc import Mapping

from heracles.model import Value
from heracles.options import Scope


class Command(Value, frozen=True, kw_only=True):
    """One command, as ``--help`` shows it. Its code is the module of the same name beside this one."""

    name: str
    summary: str
    examples: str
    scope: Scope | None = None
    subject: str = ""
    """What it takes besides options, by the name that ``--help`` gives it."""
    unshown: frozenset[str] = frozenset()
    """Options that it takes, since its siblings do, and that change nothing here."""
    defaults: Mapping[str, str] = {}
    """What holds where an option is left out, in words, where that is not the option's own default."""


#: What holds for the options that every command but ``demo`` takes.
_STORE = {
    "app": "HERACLES_APP, else [tool.heracles] app in ./pyproject.toml, else a module jobs here",
    "connection": "the environment's store, else heracles.db",
    "url": "from the environment",
}

_ALL = (
    Command(
        name="work",
        summary="run the jobs of one or more queues",
        scope=Scope.WORK,
        defaults={**_STORE, "id": "none, required", "shutdown_timeout": "none", "config": "none"},
        examples="""\
  heracles work --id=worker-1
  heracles work --id=worker-1 --queues=emails,reports --concurrency=10 --app=myapp.jobs
  heracles work --id=worker-1 --url=redis://localhost:6379 --key-prefix=myapp:jobs --processes=4
  heracles work --config=worker.toml

SIGTERM and SIGINT: take nothing new, finish what runs, exit with 0. A second one gives what runs back to the queue.
A command line is seen by all who can list processes: put a URL with a password into HERACLES_URL.""",
    ),
    Command(
        name="cleanup",
        summary="remove finished jobs from the store",
        scope=Scope.CLEANUP,
        defaults={**_STORE, "queues": "all", "config": "none"},
        examples="""\
  heracles cleanup --dry-run
  heracles cleanup --queues=emails --retention=86400 --max=500
  heracles cleanup --queues=emails --all --yes

Without --all an unfinished job is never touched.""",
    ),
    Command(
        name="list",
        summary="show the registered jobs",
        scope=Scope.LIST,
        defaults={**_STORE, "config": "none"},
        unshown=frozenset({"connection", "url", "key_prefix"}),
        examples="""\
  heracles list --app=myapp.jobs""",
    ),
    Command(
        name="status",
        summary="show live workers and each queue's counts",
        scope=Scope.STATUS,
        defaults={**_STORE, "queues": "all", "config": "none"},
        examples="""\
  heracles status
  heracles status --queues=emails --json""",
    ),
    Command(
        name="jobs",
        summary="show the newest jobs, with what failed ones say",
        scope=Scope.JOBS,
        defaults={**_STORE, "queue": "all", "status": "any", "config": "none"},
        examples="""\
  heracles jobs --queue=emails
  heracles jobs --status=failed --limit=20
  heracles jobs --status=failed --json

Of each final status a store lists the newest 1000. --json has arguments, results and tracebacks too.""",
    ),
    Command(
        name="retry",
        summary="dispatch a failed or cancelled job anew, with its arguments and options",
        scope=Scope.RETRY,
        subject="ID",
        defaults={**_STORE, "config": "none"},
        examples="""\
  heracles retry dispatch_0QX5nZ2h7Wc4KdTb --queue=emails

ID is a dispatch id, or a job id, which means the latest dispatch of it.""",
    ),
    Command(
        name="cancel",
        summary="cancel a job that waits or runs",
        scope=Scope.CANCEL,
        subject="ID",
        defaults={**_STORE, "config": "none"},
        examples="""\
  heracles cancel dispatch_0QX5nZ2h7Wc4KdTb --queue=emails

ID is a dispatch id, or a job id, which means every unfinished dispatch of it.""",
    ),
    Command(
        name="demo",
        summary="two worker processes count the classes and functions of this machine's standard library",
        examples="""\
  heracles demo

Needs no server, works in a temporary directory, leaves nothing behind.""",
    ),
)

COMMANDS: Mapping[str, Command] = {command.name: command for command in _ALL}
