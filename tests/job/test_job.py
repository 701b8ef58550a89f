"""Jobs as objects: their constructor's arguments, what they know of their run, and logging."""

import copy
import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, InitVar, dataclass, field, replace
from typing import Any

import pytest

from heracles.errors import ArgumentsError
from heracles.job import SUCCESS, Job, JobRun, arguments_of, current_run, definition_of
from heracles.model import Delivery, Envelope, JobStatus

RUN = JobRun.of(
    "emails",
    Delivery(
        envelope=Envelope(job_id="job_1", dispatch_id="dispatch_1", name="SendLetter"),
        token=7,
        retries=2,
        deliveries=1,
        created_at_ms=1000,
        started_at_ms=2500,
        last_error="ValueError: before",
    ),
)


class Mailer:
    """Nothing that could travel."""


@Job.register()
class SendLetter(Job):
    def __init__(self, to: str, mailer: object = None) -> None:
        self.to = to
        self.mailer = mailer

    async def execute(self) -> str:
        self.info("sent to %s", self.to)
        return self.to


@Job.register()
@dataclass
class PlainFields(Job):
    to: str
    tags: list[str] = field(default_factory=list)
    note: InitVar[str] = ""

    def __post_init__(self, note: str) -> None:
        self.noted = note

    def execute(self) -> None: ...


@Job.register()
@dataclass(frozen=True, slots=True)
class FrozenFields(Job):
    to: str
    copies: int = 1

    def execute(self) -> None: ...


@Job.register()
@dataclass(kw_only=True)
class MoreFields(PlainFields):
    extra: int

    def execute(self) -> None: ...


@Job.register()
class NoFields(Job):
    def execute(self) -> None: ...


def encoded(job: Job) -> tuple[bytes, bytes]:
    return definition_of(job).spec.encode(*arguments_of(job))


def test_what_travels_is_what_the_constructor_was_called_with() -> None:
    job = SendLetter("a@example.com")
    job.to = "changed"
    assert encoded(job) == (b'["a@example.com"]', b"")
    assert encoded(PlainFields("a", note="n")) == (b'["a"]', b'{"note":"n"}')
    assert encoded(FrozenFields("a", copies=2)) == (b'["a",2]', b"")
    assert encoded(MoreFields("a", ["x"], extra=3)) == (b'["a",["x"]]', b'{"extra":3}')
    assert encoded(NoFields()) == (b"[]", b"")


def test_it_travels_when_dispatched_not_when_built() -> None:
    tags = ["early"]
    job = PlainFields("a", tags)
    tags.append("late")
    assert encoded(job) == (b'["a",["early","late"]]', b"")


async def test_a_job_is_built_and_run_by_itself_with_any_stand_in() -> None:
    job = SendLetter("a", Mailer())
    assert await job.execute() == "a"
    with pytest.raises(ArgumentsError, match="'mailer'"):
        encoded(job)


def test_a_constructor_without_parameters_takes_none() -> None:
    with pytest.raises(TypeError, match="takes no arguments"):
        NoFields(1)  # type: ignore[call-arg]


def test_a_parameter_may_have_any_name() -> None:
    @Job.register(name="any-name")
    class AnyName(Job):
        def __init__(self, cls: int, *, options: int = 0, **more: int) -> None:
            self.sum = cls + options + sum(more.values())

        async def execute(self) -> int:
            return self.sum

    job = AnyName(cls=1, options=2, args=3, kwargs=4, job=5, queue=6)
    assert job.sum == 21
    built = definition_of(job).build(*encoded(job), RUN)
    assert isinstance(built, AnyName)
    assert built.sum == 21


def test_a_constructor_may_call_super() -> None:
    class Polite(Job):
        def __init__(self, to: str) -> None:
            super().__init__()
            self.to = to

    class PoliteChild(Polite):
        def __init__(self, to: str, more: int) -> None:
            super().__init__(to.upper())
            self.more = more

    assert arguments_of(PoliteChild("a", more=2)) == (("a",), {"more": 2})


def test_frozen_jobs_stay_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        FrozenFields("a").to = "b"  # type: ignore[misc]
    assert FrozenFields("a") == FrozenFields("a")
    assert encoded(replace(FrozenFields("a"), copies=5)) == (b'["a",5]', b"")


def test_a_copy_travels_as_its_original() -> None:
    assert encoded(copy.copy(SendLetter("a"))) == encoded(copy.deepcopy(SendLetter("a"))) == (b'["a"]', b"")


def test_local_classes_are_found_by_their_annotations() -> None:
    @dataclass
    class Local:
        x: int

    @Job.register()
    class UsesLocal(Job):
        def __init__(self, one: "Local", many: "list[Local] | None" = None) -> None: ...

        def execute(self) -> "Local": ...  # type: ignore[empty-body]

    assert encoded(UsesLocal(Local(1), [Local(2)])) == (b'[{"x":1},[{"x":2}]]', b"")
    assert definition_of(UsesLocal).result_spec.decode(b'{"x":3}') == Local(3)


def test_generate_job_id_gets_the_arguments_in_one_form() -> None:
    @Job.register()
    class Named(Job):
        def __init__(self, a: int, b: int = 2, *, c: int = 3) -> None: ...

        def execute(self) -> None: ...

        @classmethod
        def generate_job_id(cls, *args: Any, **kwargs: Any) -> str:
            return f"{cls.__name__}-{args}-{kwargs}"

    definition = definition_of(Named)
    assert definition.makes_job_ids
    bound = [definition.spec.bind(*arguments_of(job)) for job in (Named(1, 5), Named(b=5, a=1))]
    assert bound[0] == bound[1] == ((1, 5), {})
    assert Named.generate_job_id(1, 5) == "Named-(1, 5)-{}"
    assert not definition_of(SendLetter).makes_job_ids
    assert SendLetter.generate_job_id("a").startswith("job_")


def test_generate_job_id_needs_no_decorator() -> None:
    class Undecorated(Job):
        def generate_job_id(cls, *args: Any, **kwargs: Any) -> str:  # type: ignore[override]  # noqa: N805
            return f"{cls.__name__}-{args[0]}"  # type: ignore[attr-defined]

        def execute(self) -> None: ...

    make: Any = Undecorated.generate_job_id
    assert make(3) == "Undecorated-3"


# ------------------------------------------------------------------------------------------------------- in a worker


def test_a_worker_builds_a_job_that_knows_its_run() -> None:
    seen: dict[str, Any] = {}

    @Job.register()
    class Curious(Job):
        def __init__(self, number: int) -> None:
            seen["in the constructor"] = self.id

        def execute(self) -> None: ...

    job = definition_of(Curious).build(b"[3]", b"", RUN)
    assert seen == {"in the constructor": "job_1"}
    assert (job.id, job.dispatch_id, job.queue_name) == ("job_1", "dispatch_1", "emails")
    assert (job.retries, job.token, job.status, job.cancelled) == (2, 7, JobStatus.RUNNING, False)
    assert job.created_at == dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)
    assert job.started_at == dt.datetime(1970, 1, 1, 0, 0, 2, 500_000, tzinfo=dt.UTC)
    assert job.last_error == "ValueError: before"


def test_outside_of_a_worker_a_job_knows_of_no_run() -> None:
    job = SendLetter("a")
    unknown = (job.id, job.dispatch_id, job.queue_name, job.status, job.created_at, job.started_at, job.last_error)
    assert unknown == (None,) * 7
    assert (job.retries, job.token, job.cancelled) == (0, 0, False)
    assert current_run() is None


def test_what_the_constructor_raises_comes_through() -> None:
    @Job.register()
    class Picky(Job):
        def __init__(self, number: int) -> None:
            raise LookupError(number)

        def execute(self) -> None: ...

    with pytest.raises(LookupError):
        definition_of(Picky).build(b"[3]", b"", RUN)
    with pytest.raises(ArgumentsError, match="'number'"):
        definition_of(Picky).build(b'["3"]', b"", RUN)


# ----------------------------------------------------------------------------------------------------------- logging


def test_logging_carries_the_ids(caplog: pytest.LogCaptureFixture) -> None:
    job = definition_of(SendLetter).build(b'["a"]', b"", RUN)
    with caplog.at_level(logging.DEBUG, logger="heracles.job.SendLetter"):
        job.debug("one")
        job.info("two %s", 2)
        job.success("three")
        job.warning("four", extra={"more": "mine"})
        job.error("five", exc_info=ValueError("six"))
    records = caplog.records
    assert [record.getMessage() for record in records] == ["one", "two 2", "three", "four", "five"]
    assert [record.levelno for record in records] == [
        logging.DEBUG,
        logging.INFO,
        SUCCESS,
        logging.WARNING,
        logging.ERROR,
    ]
    assert records[2].levelname == "SUCCESS"
    assert records[4].exc_info is not None
    assert vars(records[3])["more"] == "mine"
    for record in records:
        assert record.name == "heracles.job.SendLetter"
        assert record.filename == "test_job.py"
        carried = ("job_id", "dispatch_id", "queue_name", "job_name", "retries")
        assert [vars(record)[name] for name in carried] == ["job_1", "dispatch_1", "emails", "SendLetter", 2]


def test_logging_works_outside_of_a_worker(caplog: pytest.LogCaptureFixture) -> None:
    class Unregistered(Job):
        def execute(self) -> None: ...

    with caplog.at_level(logging.INFO):
        Unregistered().info("hello")
        Unregistered().debug("not this")
    (record,) = caplog.records
    assert record.name == "heracles.job.Unregistered"
    assert vars(record)["job_id"] is None


def test_the_options_of_a_definition_cannot_be_changed() -> None:
    options: Mapping[str, Any] = definition_of(SendLetter).options
    with pytest.raises(TypeError):
        options["priority"] = 1  # type: ignore[index]
