"""What somebody who can write to the store cannot do: run code that the worker's program has not registered."""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import heracles
from heracles.model import Envelope, JobStatus
from tests.cli.process import running
from tests.processes.site import ProcessSite
from tests.waiting import eventually

SOURCE = Path(heracles.__file__).parent
#: Names whose use would let data become code.
FORBIDDEN = {"eval", "exec", "compile", "__import__", "pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle"}
#: What loads modules by name, and where it may: the app that the command line names, and parts of the package itself.
LOADING = {"importlib"}
LOADERS = {
    "__init__.py",
    "cli/main.py",
    "cli/app.py",
    "cli/work.py",
    "redis/connections.py",
    "sqlite/queries.py",
    "sqlite/database.py",
}


def sources() -> Iterator[tuple[str, ast.AST]]:
    for path in SOURCE.rglob("*.py"):
        yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def names(tree: ast.AST) -> Iterator[str]:
    """What is called by its bare name, and what is imported."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)):
                yield name
            case ast.Import(names=aliases):
                yield from (alias.name.partition(".")[0] for alias in aliases)
            case ast.ImportFrom(module=str(module)):
                yield module.partition(".")[0]
            case _:
                pass


def test_nothing_in_the_package_turns_data_into_code() -> None:
    found = {(path, name) for path, tree in sources() for name in names(tree) if name in FORBIDDEN}
    assert found == set()


def test_modules_are_loaded_by_name_in_few_places() -> None:
    found = {path for path, tree in sources() if LOADING & set(names(tree))}
    assert found <= LOADERS, found - LOADERS


def test_no_script_is_made_from_what_users_give() -> None:
    """EVAL would run a text; EVALSHA runs what the package has loaded."""
    for path in (SOURCE / "redis").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert '"EVAL"' not in text, path
    for path in (SOURCE / "redis" / "lua").glob("*.lua"):
        text = path.read_text(encoding="utf-8")
        assert "loadstring" not in text, path
        assert "dofile" not in text, path


async def test_an_entry_that_names_a_module_imports_nothing(site: ProcessSite) -> None:
    trap = site.folder / "trap.py"
    trap.write_text("from pathlib import Path\nPath('sprung').touch()\n")
    worker = site.worker()
    for number, name in enumerate(
        ["trap", "trap.Trap", "os.system", "tests.processes.app.Wait", "../trap", "__main__"]
    ):
        await site.dispatch(name, "touch sprung", dispatch_id=f"trap-{number}")
    known = await site.dispatch("Wait")
    assert (await site.until(known)).status is JobStatus.COMPLETED
    await eventually(lambda: "os.system" in worker.log, what="the unknown name is told")
    assert not (site.folder / "sprung").exists()
    assert worker.process.poll() is None


async def test_arguments_that_do_not_fit_become_nothing_else(site: ProcessSite) -> None:
    site.worker()
    for number, args in enumerate([[["a", "list"]], [{"py/object": "os.system"}], [None], ["a", "b"], [1]]):
        envelope = Envelope(
            name="Wait", job_id=f"j-{number}", dispatch_id=f"misfit-{number}", args=json.dumps(args).encode()
        )
        await site.transport.enqueue("jobs", [envelope])
        record = await site.until(envelope.dispatch_id)
        assert record.status is JobStatus.FAILED
        assert "ArgumentsError" in str(record.error)


def test_a_job_cannot_forge_a_log_line_or_move_the_cursor(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(
        "from heracles import job\n"
        "import logging\n"
        "@job(max_retries=0)\n"
        "def shout() -> None:\n"
        "    logging.getLogger('app').warning('one\\n2026-01-01 00:00:00.000 INFO forged\\x1b[2J\\r%s', '\\x9b31m')\n"
        "    raise ValueError('two\\n2026-01-01 00:00:00.000 INFO forged\\x1b[2J')\n"
    )
    program = "import jobs\nprint(jobs.shout.sync.dispatch().dispatch_id)\n"
    with running(cwd=tmp_path, command=(sys.executable, "-c", program)) as producer:
        assert producer.end() == 0, producer.log
    with running("work", "--id=w", cwd=tmp_path) as worker:
        worker.await_line("ValueError")
        lines = worker.log.split("\n")
        assert not [line for line in lines if line.startswith("2026-01-01")]
        assert [line for line in lines if r"one\n2026-01-01 00:00:00.000 INFO forged\x1b[2J\r\x9b31m" in line]
        assert not set("\x1b\x9b\r") & set(worker.log)
