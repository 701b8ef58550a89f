"""Where a command finds the app, and what it says of one that cannot be imported."""

from pathlib import Path

import pytest

from tests.cli.process import run

JOB = '''
from heracles.job import Job

@Job.register(name={name!r}, queue="emails")
class Found(Job):
    """Say where it was found.

    And more.
    """

    def execute(self) -> None: ...
'''


def write_app(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(JOB.format(name=name))


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A working directory with an app in every place where one is looked for."""
    write_app(tmp_path / "by_flag.py", "ByFlag")
    write_app(tmp_path / "by_file.py", "ByFile")
    write_app(tmp_path / "by_variable.py", "ByVariable")
    write_app(tmp_path / "by_pyproject" / "inside.py", "ByPyproject")
    write_app(tmp_path / "jobs.py", "ByName")
    (tmp_path / "pyproject.toml").write_text('[tool.heracles]\napp = "by_pyproject.inside"\n')
    (tmp_path / "worker.json").write_text('{"app": "by_file"}')
    return tmp_path


def test_the_places_in_their_order(places: Path) -> None:
    variable = {"HERACLES_APP": "by_variable"}
    assert "ByFlag" in run("list", "--app=by_flag", "--config=worker.json", cwd=places, env=variable).out
    assert "ByFile" in run("list", "--config=worker.json", cwd=places, env=variable).out
    assert "ByVariable" in run("list", cwd=places, env=variable).out
    assert "ByPyproject" in run("list", cwd=places).out
    (places / "pyproject.toml").write_text("[tool.other]\n")
    assert "ByName" in run("list", cwd=places).out


def test_a_package_jobs_counts_too(tmp_path: Path) -> None:
    write_app(tmp_path / "jobs" / "__init__.py", "InPackage")
    assert "InPackage" in run("list", cwd=tmp_path).out


def test_list_shows_name_queue_and_first_docstring_line(places: Path) -> None:
    lines = run("list", "--app=by_flag", cwd=places).out.splitlines()
    assert [line.split(maxsplit=2) for line in lines] == [
        ["JOB", "QUEUE", "DESCRIPTION"],
        ["ByFlag", "emails", "Say where it was found."],
    ]


@pytest.mark.parametrize("command", [("list",), ("work", "--id=a")])
def test_no_app_anywhere_names_every_place(command: tuple[str, ...], tmp_path: Path) -> None:
    ended = run(*command, cwd=tmp_path)
    assert ended.code == 2
    for place in ("--app", "HERACLES_APP", "[tool.heracles]", "pyproject.toml", "jobs.py"):
        assert place in ended.error


@pytest.mark.parametrize(
    ("app", "says"),
    [
        ("nowhere", "there is no module 'nowhere'"),
        ("nowhere.at.all", "there is no module 'nowhere.at.all'"),
        ("by_pyproject.missing", "there is no module 'by_pyproject.missing'"),
        ("by_flag.py", "give --app=by_flag"),
        ("./by_pyproject/inside.py", "give --app=by_pyproject.inside"),
        ("two words", "give names joined by dots"),
    ],
)
def test_an_app_that_does_not_exist(app: str, says: str, places: Path) -> None:
    ended = run("list", f"--app={app}", cwd=places)
    assert ended.code == 2
    assert says in ended.error


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("\nraise ValueError('first\\nsecond')", "ValueError: first"),
        ("\nimport nowhere_at_all", "No module named 'nowhere_at_all'"),
        ("\nimport sys; sys.exit(3)", "SystemExit: 3"),
        ("\ndef broken(:", "SyntaxError"),
        ("\n__import__('ast').literal_eval('(')", "SyntaxError"),
    ],
)
def test_an_app_that_raises_is_one_line_with_its_place(code: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(code)
    ended = run("list", cwd=tmp_path)
    assert ended.code == 2
    assert says in ended.error
    assert "jobs.py" in ended.error
    assert "line 2" in ended.error


def test_an_app_that_raises_inside_a_library_is_told_by_the_line_that_called_it(tmp_path: Path) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "plugin.py").write_text("def load(text):\n\n\n\n    return __import__('json').loads(text)\n")
    (installed / "ready_made.py").write_text("\n\nimport plugin\nplugin.load('{x')\n")
    (tmp_path / "own.py").write_text("import json\nX = json.loads('{x')\n")
    (tmp_path / "jobs.py").write_text("import plugin\n\nY = plugin.load('{x')\n")
    for app, place in {"own": "own.py, line 2)", "jobs": "jobs.py, line 3)", "ready_made": "decoder.py, line "}.items():
        ended = run("list", f"--app={app}", cwd=tmp_path, env={"PYTHONPATH": str(installed)})
        assert ended.code == 2
        assert "JSONDecodeError" in ended.error
        assert place in ended.error


@pytest.mark.parametrize("text", ["[tool.heracles]\napp = 3\n", "[tool.heracles\n"])
def test_a_pyproject_that_cannot_be_used(text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    ended = run("list", cwd=tmp_path)
    assert ended.code == 2
    assert "pyproject.toml" in ended.error


#: The commands that look at a store, and can do without an app.
LOOKING = (("status",), ("jobs",), ("cleanup",), ("retry", "job-1"), ("cancel", "job-1"))
NAMED = "--url=sqlite:///store.db"


@pytest.mark.parametrize("command", LOOKING)
def test_a_broken_app_that_nobody_named_is_a_warning_where_the_store_is_named(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "jobs.py").write_text("1 / 0\n")
    ended = run(*command, NAMED, cwd=tmp_path)
    warning, *others = ended.err.splitlines()
    assert "'jobs' could not be imported: ZeroDivisionError" in warning
    assert "going on without it" in warning
    # The store was looked for: it is not there.
    assert len(others) == 1
    assert "no store yet" in others[0]
    assert ended.code == (1 if command[0] in ("retry", "cancel") else 0)


@pytest.mark.parametrize("command", LOOKING)
def test_a_broken_app_is_an_error_with_the_way_out_where_no_store_is_named(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "jobs.py").write_text("1 / 0\n")
    ended = run(*command, cwd=tmp_path)
    assert ended.code == 2
    assert "ZeroDivisionError" in ended.error
    assert ended.error.endswith("name the store by --url to go on without it")


def test_a_broken_app_that_was_named_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    ended = run("status", NAMED, "--app=broken", cwd=tmp_path)
    assert ended.code == 2
    assert "ZeroDivisionError" in ended.error
    # In the environment or in pyproject.toml it stands for all commands, not for this one.
    ended = run("status", NAMED, cwd=tmp_path, env={"HERACLES_APP": "broken"})
    assert ended.code == 0
    assert "going on without it" in ended.err
