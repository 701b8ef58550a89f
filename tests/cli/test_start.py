"""What the command line costs to start."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.process import COMMAND, environment, run

#: CPU seconds: promised for help, which completion and curious users ask for often.
HELP_CPU_S = 0.2


def cpu_s(directory: Path, *arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run(*arguments, cwd=directory).code == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", [("--help",), ("work", "--help"), ("--version",)])
def test_help_is_quick(arguments: tuple[str, ...], tmp_path: Path) -> None:
    # The best of a few: others may be using the machine's caches.
    assert min(cpu_s(tmp_path, *arguments) for _ in range(5)) < HELP_CPU_S


def test_help_brings_in_neither_transport_nor_worker_nor_terminal_library(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from heracles.cli.main import main\n"
        "try: main(['work', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'redis', 'heracles.redis', 'heracles.sqlite', 'heracles.worker', 'rich', 'uvloop'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_worker_brings_in_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import heracles.cli.work\n"
        "import heracles.redis\n"
        "heavy = {'redis', 'sqlite3', 'rich', 'email', 'http', 'importlib.metadata', 'logging.handlers', 'pickle'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_script_and_the_module_are_the_same(tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "heracles"
    said = [
        subprocess.run([*command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for command in ((str(script),), COMMAND)
    ]
    assert said[0] == said[1]
