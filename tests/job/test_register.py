"""Registering jobs: options, names, and what cannot be a job."""

import abc
import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from heracles.errors import JobRegistrationError, OptionError, UnknownJobError
from heracles.job import Job, all_jobs, definition_of, find_job
from heracles.model import JobOverlapBehavior


@Job.register(
    queue="emails", max_retries=3, retry_delay=timedelta(seconds=5), overlap_behavior=JobOverlapBehavior.NO_OVERLAP
)
class Documented(Job):
    """Send one email.

    And more about it.
    """

    async def execute(self) -> None: ...


def test_a_definition_says_what_was_registered() -> None:
    definition = find_job("Documented")
    assert definition.cls is Documented
    assert definition.queue == "emails"
    assert definition.summary == "Send one email."
    assert definition.is_async
    assert dict(definition.options) == {"max_retries": 3, "retry_delay": 5000, "overlap_behavior": "no_overlap"}
    assert all_jobs()["Documented"] is definition_of(Documented) is definition_of(Documented()) is definition


def test_defaults_are_left_to_others() -> None:
    @Job.register()
    class BareOptions(Job):
        def execute(self) -> None: ...

    definition = definition_of(BareOptions)
    assert (definition.queue, dict(definition.options), definition.is_async, definition.summary) == (
        "default",
        {},
        False,
        "",
    )


def test_a_dataclass_without_a_docstring_has_no_summary() -> None:
    @Job.register()
    @dataclass
    class Counted(Job):
        number: int

        def execute(self) -> None: ...

    assert definition_of(Counted).summary == ""


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"priority": 101}, "priority"),
        ({"priority": True}, "priority"),
        ({"max_retries": -1}, "max_retries"),
        ({"retry_delay": "5"}, "retry_delay"),
        ({"timeout": 0}, "timeout"),
        ({"overlap_behavior": "sometimes"}, "overlap_behavior"),
        ({"overlap_delay": timedelta(days=-1)}, "overlap_delay"),
        ({"status_ttl": 0}, "status_ttl"),
        ({"queue": "no spaces"}, "queue"),
        ({"name": "no spaces"}, "name"),
        ({"name": ""}, "name"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        Job.register(**options)


def test_a_wrapped_coroutine_function_is_for_the_event_loop() -> None:
    def timed(function: Any) -> Any:
        @wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    @Job.register()
    class Wrapped(Job):
        @timed
        async def execute(self) -> None: ...

    assert definition_of(Wrapped).is_async


# ------------------------------------------------------------------------------------------------------ no such job


def test_a_subclass_is_not_registered_by_its_parent() -> None:
    class Child(Documented): ...

    with pytest.raises(UnknownJobError, match="Child is not a registered job"):
        definition_of(Child())


def test_register_is_the_outermost_decorator() -> None:
    @dataclass(slots=True)
    @Job.register()
    class Inner(Job):
        number: int

        def execute(self) -> None: ...

    with pytest.raises(UnknownJobError, match="outermost"):
        definition_of(Inner(1))


@pytest.mark.parametrize("thing", [Job, int, 3, "Documented", [], None, print])
def test_what_is_no_job_is_unknown(thing: object) -> None:
    with pytest.raises(UnknownJobError):
        definition_of(thing)


def test_an_unknown_name_says_what_to_do() -> None:
    with pytest.raises(UnknownJobError, match=r"'Nowhere'.*import its module"):
        find_job("Nowhere")


# ----------------------------------------------------------------------------------------------- what cannot be one


def test_a_class_that_is_no_job() -> None:
    with pytest.raises(JobRegistrationError, match="no subclass of"):
        Job.register()(int)  # type: ignore[type-var]


def test_a_job_without_execute() -> None:
    with pytest.raises(JobRegistrationError, match="has no execute"):

        @Job.register()
        class Idle(Job): ...


def test_a_job_that_yields() -> None:
    with pytest.raises(JobRegistrationError, match="generator"):

        @Job.register()
        class Yields(Job):
            def execute(self) -> Iterator[int]:
                yield 1

    with pytest.raises(JobRegistrationError, match="generator"):

        @Job.register()
        class YieldsLater(Job):
            async def execute(self) -> AsyncIterator[int]:
                yield 1


def test_a_job_whose_execute_needs_arguments() -> None:
    with pytest.raises(
        JobRegistrationError, match=r"Greets.* with execute\(self, to\): arguments go to the constructor"
    ):

        @Job.register()
        class Greets(Job):
            def execute(self, to: str) -> None: ...  # type: ignore[override]

    with pytest.raises(JobRegistrationError, match=r"execute\(self\) takes none"):

        @Job.register()
        class GreetsByName(Job):
            async def execute(self, *, to: str) -> None: ...  # type: ignore[override]

    with pytest.raises(JobRegistrationError, match=r"execute\(self\) takes none"):

        @Job.register()
        class Lonely(Job):
            def execute() -> None: ...  # type: ignore[misc]


def test_a_job_whose_execute_is_given_what_it_needs() -> None:
    def with_session(execute: Callable[[Any, str], str]) -> Callable[[Any], str]:
        @wraps(execute)
        def given(self: Any) -> str:
            return execute(self, "session")

        return given

    @Job.register()
    class Injected(Job):
        @with_session
        def execute(self, session: str) -> str:
            return session

    @Job.register()
    class Defaults(Job):
        def execute(self, to: str = "all", *more: int, **others: int) -> str:
            return to

    @Job.register()
    class Static(Job):
        @staticmethod
        def execute() -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
            return "static"

    assert [Injected().execute(), Defaults().execute(), Static().execute()] == ["session", "all", "static"]


def test_a_job_with_a_new_of_its_own() -> None:
    with pytest.raises(JobRegistrationError, match="__new__"):

        @Job.register()
        class Singleton(Job):
            def __new__(cls) -> "Singleton":
                return super().__new__(cls)

            def execute(self) -> None: ...


# --------------------------------------------------------------------------------------------------- reserved names


RESERVED = ["id", "dispatch_id", "queue_name", "retries", "status", "created_at", "started_at", "last_error"]
RESERVED += ["cancelled", "token", "debug", "info", "warning", "error", "success", "register"]


@pytest.mark.parametrize("name", RESERVED)
def test_a_reserved_name_is_refused_for_fields_methods_and_assignments(name: str) -> None:
    bodies = [
        f"    {name}: int\n    more: str\n",
        f"    {name} = 3\n",
        f"    def {name}(self): pass\n",
        f"    def __init__(self, {name}):\n        self.{name} = {name}\n",
        f"    def __init__(self, a, {name}):\n        self.a, self.{name} = a, {name}\n",
        f"    def __init__(self):\n        self.{name}: int = 3\n",
    ]
    for body in bodies:
        with pytest.raises(JobRegistrationError, match=f"'{name}'"):
            exec(f"class Named(Job):\n{body}", {"Job": Job})


def test_a_reserved_field_is_refused_before_a_dataclass_stumbles_over_it() -> None:
    with pytest.raises(JobRegistrationError, match="'status'"):

        @dataclass
        class Field(Job):
            status: str  # type: ignore[assignment]  # as type checkers say too
            after: int


def test_a_reserved_name_in_a_mixin_is_refused() -> None:
    class Noisy:
        def warning(self) -> None: ...

    with pytest.raises(JobRegistrationError, match="'warning'"):

        class Mixed(Noisy, Job): ...  # type: ignore[misc]


def test_a_parameter_may_have_a_reserved_name() -> None:
    @Job.register()
    class Parameters(Job):
        def __init__(self, id: int, status: str, error: str) -> None:
            self.number, self.state, self.problem = id, status, error
            other = Documented.__dict__
            assert other

        def execute(self) -> None: ...

    assert definition_of(Parameters(1, "a", "b")).spec.encode((1, "a", "b"), {}) == (b'[1,"a","b"]', b"")


def test_assigning_a_reserved_name_from_outside_is_refused() -> None:
    with pytest.raises(JobRegistrationError, match="'token'"):
        Documented().token = 3


def test_abstract_bases_work() -> None:
    class Base(Job, abc.ABC):
        @abc.abstractmethod
        def execute(self) -> int: ...

    @Job.register()
    class Concrete(Base):
        def execute(self) -> int:
            return 1

    assert Concrete().execute() == 1


# ------------------------------------------------------------------------------------------------------ name clashes


JOBS = "from heracles import Job\n@Job.register(name='{name}')\nclass Ping(Job):\n    def execute(self): pass\n"


def load(path: Path, module: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[module] = found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_two_classes_of_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    for module in ("clash_one", "clash_two"):
        (tmp_path / f"{module}.py").write_text(JOBS.format(name="Clash"))
    first = load(tmp_path / "clash_one.py", "clash_one")
    with pytest.raises(JobRegistrationError, match=r"'Clash': clash_one\.Ping and clash_two\.Ping"):
        load(tmp_path / "clash_two.py", "clash_two")
    assert find_job("Clash").cls is first.Ping


def test_one_class_imported_twice_is_one_job(tmp_path: Path) -> None:
    (tmp_path / "twice.py").write_text(JOBS.format(name="Twice"))
    first, second = load(tmp_path / "twice.py", "twice"), load(tmp_path / "twice.py", "package.twice")
    assert find_job("Twice").cls is second.Ping
    # Instances of either are dispatched.
    assert definition_of(first.Ping()).name == definition_of(second.Ping()).name == "Twice"


def test_one_class_run_as_main_and_imported_is_one_job(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        JOBS.format(name="Main") + "if __name__ == '__main__':\n"
        "    import script\n"
        "    from heracles.job import find_job\n"
        "    assert find_job('Main').cls is script.Ping\n"
        "    print('one job')\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("one job\n", "")


def test_one_class_under_two_names_is_an_error() -> None:
    with pytest.raises(JobRegistrationError, match="registered as 'Documented' already"):
        Job.register(name="Other")(Documented)


def test_a_class_of_an_interactive_session_may_be_written_again() -> None:
    session = (
        "from heracles import Job\n"
        "for body in (1, 2):\n"
        "    @Job.register()\n"
        "    class Ping(Job):\n"
        "        value = body\n"
        "        def execute(self): pass\n\n"
        "from heracles.job import find_job\n"
        "print(find_job('Ping').cls.value)\n"
    )
    done = subprocess.run([sys.executable, "-"], input=session, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_forgotten_parentheses_are_named() -> None:
    with pytest.raises(JobRegistrationError, match=r"write @Job\.register\(\)"):

        @Job.register  # type: ignore[arg-type]  # the mistake that is tested
        class Bare(Job):
            async def execute(self) -> None: ...
