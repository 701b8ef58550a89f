"""The face of the package: what ``import heracles`` offers and what it costs."""

import subprocess
import sys

import pytest

import heracles


def test_every_exported_name_is_there() -> None:
    for name in heracles.__all__:
        assert getattr(heracles, name) is not None
        assert name in dir(heracles)
    assert len(set(heracles.__all__)) == len(heracles.__all__)


def test_every_error_is_exported() -> None:
    errors = [
        name
        for name, value in vars(heracles.errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert set(errors) <= set(heracles.__all__)
    for name in errors:
        assert issubclass(getattr(heracles, name), heracles.HeraclesError) or name == "Fail"


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="'heracles' has no attribute 'Nothing'"):
        heracles.Nothing  # type: ignore[attr-defined]  # noqa: B018


def test_importing_it_leaves_alone_what_it_does_not_need() -> None:
    code = "import sys, heracles; print({'redis', 'sqlite3', 'rich', 'heracles.worker'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def test_the_decorator_and_the_module_share_a_name() -> None:
    from heracles import job
    from heracles.job import Job

    assert callable(job)
    assert Job is heracles.Job
