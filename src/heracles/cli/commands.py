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
        name="demo",
        summary="two worker processes count the classes and functions of this machine's standard library",
        examples="""\
  heracles demo

Needs no server, works in a temporary directory, leaves nothing behind.""",
    ),
)

COMMANDS: Mapping[str, Command] = {command.name: command for command in _ALL}
