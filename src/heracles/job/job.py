"""``Job``, what is known of each registered one, and the registry."""

import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import CoroutineType, FrameType, FunctionType, MappingProxyType
from typing import TYPE_CHECKING, Any, Never, Self, TypedDict, TypeVar, Unpack

from heracles.codec import CallSpec, ResultSpec, Source
from heracles.codec.signature import own_annotations
from heracles.errors import JobRegistrationError, UnknownJobError, shown
from heracles.job.reserved import refuse_reserved
from heracles.job.run import JobRun, RunValue
from heracles.model import JobOverlapBehavior, JobStatus
from heracles.options import Scope, check_id, check_options, check_queue_name, first_given
from heracles.units import JOB_PREFIX, new_id

#: Between INFO and WARNING, where other logging libraries have it too.
SUCCESS = 25
logging.addLevelName(SUCCESS, "SUCCESS")

LOGGER_PREFIX = "heracles.job."


class JobOptions(TypedDict, total=False):
    """What a job's registration may say. A dispatch comes before it; what is left out, or None, the queue decides."""

    priority: int | None
    """0 to 100, lower runs first; 10 by default."""
    max_retries: int | None
    """How often it is run again after it raised; 3 by default."""
    retry_delay: float | timedelta | None
    """Milliseconds or timedelta between those runs; 5000 by default."""
    timeout: float | timedelta | None
    """Milliseconds or timedelta that one run may take; no end by default."""
    overlap_behavior: JobOverlapBehavior | None
    """Whether two dispatches of one job id may run at once; they may by default."""
    overlap_delay: float | timedelta | None
    """Milliseconds or timedelta between two such runs under NO_OVERLAP; 0 by default."""
    status_ttl: float | timedelta | None
    """Seconds or timedelta that record and result stay; the transport's by default."""


class Job:
    """Base of all jobs: subclass it, give it ``execute``, and register it.

    ``execute`` may be ``async def`` (it runs on the worker's event loop) or plain ``def`` (in a thread). What it
    returns is the job's result, what it raises fails the run. What the constructor is called with is what travels; it
    is encoded at dispatch, so that a job can be built and run by itself with any stand-ins::

        await SendEmail(fake_mailer).execute()

    The public attributes are reserved: a subclass with a field or method of such a name is a JobRegistrationError.
    Outside of a worker they are None, 0 or False, and the logging methods work.
    """

    __slots__ = ("__weakref__", "_call", "_run")
    _call: tuple[tuple[Any, ...], dict[str, Any]]
    _run: JobRun
    """Not there outside of a worker."""

    id = RunValue[str | None](None)
    """The job id."""
    dispatch_id = RunValue[str | None](None)
    """The dispatch that runs, the same in each of its runs."""
    queue_name = RunValue[str | None](None)
    """The queue that it was dispatched to."""
    retries = RunValue[int](0)
    """Failed runs before this one: 0 on the first."""
    status = RunValue[JobStatus | None](None)
    """RUNNING; CANCELLED as soon as somebody has cancelled it."""
    created_at = RunValue[datetime | None](None)
    """When it was dispatched."""
    started_at = RunValue[datetime | None](None)
    """When this run was started."""
    last_error = RunValue[str | None](None)
    """The error of the run before this one."""
    cancelled = RunValue[bool](False)
    """Whether its code should end: it was cancelled, ran out of time, is given back at a forced stop, or is no longer
    its worker's. Look at it in threads; ``status`` is CANCELLED for the first alone."""
    token = RunValue[int](0)
    """Rises with every start of the dispatch: a fencing token for outside systems."""

    # Type checkers are to see each job's own constructor, not this one, which takes anything.
    if not TYPE_CHECKING:

        def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
            """Keep what the constructor is called with: it is what a dispatch sends. ``cls`` may be a parameter too."""
            if cls.__init__ is _no_init and (args or kwargs):
                raise TypeError(f"{cls.__name__}() takes no arguments")
            job = _new(cls)
            _set_call(job, (args, kwargs))
            return job

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_reserved(cls, Job, RESERVED)
        made = vars(cls).get("generate_job_id")
        # As Python does with __init_subclass__: it is only ever called on the class.
        if isinstance(made, FunctionType):
            cls.generate_job_id = classmethod(made)  # type: ignore[method-assign, assignment]  # bound to the class

    def execute(self) -> Any:
        """The work: every job has its own."""
        raise JobRegistrationError(f"{type(self).__qualname__} has no execute()")

    @classmethod
    def generate_job_id(cls, /, *args: Any, **kwargs: Any) -> str:
        """The job id of a dispatch that is given none. Override it so that equal arguments mean the same job.

        The arguments come in one form, however the constructor was called: those that can be positional are.
        """
        return JOB_PREFIX + new_id()

    def debug(self, message: object, *args: object, **options: Any) -> None:
        """Log to ``heracles.job.<name>`` at DEBUG; arguments as those of ``logging.Logger.debug``."""
        self._log(logging.DEBUG, message, args, options)

    def info(self, message: object, *args: object, **options: Any) -> None:
        """Log at INFO."""
        self._log(logging.INFO, message, args, options)

    def success(self, message: object, *args: object, **options: Any) -> None:
        """Log at SUCCESS (25), between INFO and WARNING."""
        self._log(SUCCESS, message, args, options)

    def warning(self, message: object, *args: object, **options: Any) -> None:
        """Log at WARNING."""
        self._log(logging.WARNING, message, args, options)

    def error(self, message: object, *args: object, **options: Any) -> None:
        """Log at ERROR."""
        self._log(logging.ERROR, message, args, options)

    def _log(self, level: int, message: object, args: tuple[object, ...], options: dict[str, Any]) -> None:
        definition = DEFINITIONS.of_owner(type(self))
        name = type(self).__name__ if definition is None else definition.name
        logger = logging.getLogger(LOGGER_PREFIX + name)
        if not logger.isEnabledFor(level):
            return
        carried = {
            "job_name": name,
            "job_id": self.id,
            "dispatch_id": self.dispatch_id,
            "queue_name": self.queue_name,
            "retries": self.retries,
        }
        options["extra"] = {**carried, **(options.get("extra") or {})}
        # The record names the line in the job, past info() and this method.
        options["stacklevel"] = options.get("stacklevel", 1) + 2
        logger.log(level, message, *args, **options)

    @staticmethod
    def register(
        *misused: Never, name: str | None = None, queue: str = "default", **options: Unpack[JobOptions]
    ) -> "Callable[[type[JobType]], type[JobType]]":
        """Make a class known to queues and workers: the outermost decorator of a job.

        Args:
            name: what producers and workers call it; the class's name by default.
            queue: where it goes when dispatched without a queue.
            options: of ``JobOptions``.

        Raises:
            OptionError: a value is not allowed.
            JobRegistrationError: this cannot be a job, another class has its name, or the parentheses are missing.
        """
        if misused:
            raise JobRegistrationError("Job.register takes options by name: write @Job.register() above the class")
        checked = check_options(options, Scope.JOB, "Job.register", also=("name", "queue"))
        check_queue_name(queue)
        if name is not None:
            check_id(name, "name")

        def decorate(cls: type[JobType]) -> type[JobType]:
            _check_class(cls)
            names = names_near(sys._getframe(1), *cls.__mro__, cls.__init__, cls.execute)
            definition = JobDefinition(
                name=name or cls.__name__,
                cls=cls,
                queue=queue,
                options=MappingProxyType(checked),
                is_async=is_async(cls.execute),
                summary=summary_of(cls),
                call=Source(callable=cls.__init__, where=cls.__qualname__, owner=cls, names=names),
                work=Source(callable=cls.execute, where=cls.__qualname__, owner=cls, names=names),
            )
            remember(definition, cls)
            return cls

        return decorate


#: Looked up once: each job is made by these.
_new, _no_init = object.__new__, object.__init__
#: Not by assignment, which a frozen dataclass refuses; and faster than ``object.__setattr__``.
_set_call: Callable[[Job, tuple[tuple[Any, ...], Mapping[str, Any]]], None] = vars(Job)["_call"].__set__
_set_run: Callable[[Job, JobRun], None] = vars(Job)["_run"].__set__

JobType = TypeVar("JobType", bound=Job)

#: What a subclass of Job may not have.
RESERVED = frozenset(name for name in vars(Job) if not name.startswith("_")) - {"execute", "generate_job_id"}


@dataclass(frozen=True, kw_only=True)
class JobDefinition:
    """All that is known of one registered job."""

    name: str
    cls: type[Job]
    queue: str
    options: Mapping[str, Any]
    """The options that ``register`` was given, checked, in the units of ``options``; without those not given."""
    is_async: bool
    """Whether ``execute`` is for the event loop; else it is for a thread."""
    summary: str
    """The first line of its docstring."""
    call: Source
    """The callable whose parameters are the job's arguments."""
    work: Source
    """The callable whose return value is the job's result."""

    @cached_property
    def spec(self) -> CallSpec:
        """How its arguments travel.

        Raises:
            JobRegistrationError: an annotation cannot be resolved or decoded; names the parameter.
        """
        return CallSpec(self.call)

    @cached_property
    def result_spec(self) -> ResultSpec:
        """How its results come back."""
        return ResultSpec(self.work)

    @cached_property
    def priority(self) -> int:
        """That of its dispatches that are given none."""
        return int(first_given("priority", (self.options,)))

    @cached_property
    def overlap_behavior(self) -> JobOverlapBehavior:
        """That of its dispatches that are given none."""
        return JobOverlapBehavior(first_given("overlap_behavior", (self.options,)))

    @cached_property
    def is_no_overlap(self) -> bool:
        """Whether of its dispatches with one job id one runs at a time, unless they say otherwise."""
        return self.overlap_behavior == JobOverlapBehavior.NO_OVERLAP

    @cached_property
    def makes_job_ids(self) -> bool:
        """Whether the class has a ``generate_job_id`` of its own."""
        return getattr(self.cls.generate_job_id, "__func__", None) is not getattr(Job.generate_job_id, "__func__")  # noqa: B009

    def build(self, args: bytes, kwargs: bytes, run: JobRun) -> Job:
        """Decode the arguments and construct the job of a run.

        Raises:
            ArgumentsError: the arguments do not fit. What the constructor itself raises comes through as it is.
        """
        positions, names = self.spec.decode(args, kwargs)
        # As Job.__new__, which no registered class replaces, and with its run before the constructor, which may ask.
        job: Job = object.__new__(self.cls)
        _set_call(job, (positions, names))
        _set_run(job, run)
        job.__init__(*positions, **names)  # type: ignore[misc]  # the second half of calling the class
        return job


class Definitions:
    """The job registry: definitions by name, and by the class or function they were made from."""

    def __init__(self) -> None:
        self._by_name: dict[str, JobDefinition] = {}
        self._by_owner: dict[object, JobDefinition] = {}

    def add(self, definition: JobDefinition, owner: object) -> None:
        """Raises JobRegistrationError where the name is another's."""
        known = self._by_name.get(definition.name)
        if known is not None and _origin(known) != _origin(definition):
            raise JobRegistrationError(
                f"two jobs are named {definition.name!r}: {_described(known)} and {_described(definition)}; "
                "give one of them another name="
            )
        before = self.of_owner(owner)
        if before is not None and before.name != definition.name:
            raise JobRegistrationError(f"{definition.call.where} is registered as {before.name!r} already")
        self._by_name[definition.name] = self._by_owner[owner] = definition

    def of_owner(self, owner: object) -> JobDefinition | None:
        """The definition made from exactly that class or function."""
        return self._by_owner.get(owner)

    def named(self, name: str) -> JobDefinition:
        """The definition of that name; KeyError where there is none."""
        return self._by_name[name]

    def by_name(self) -> Mapping[str, JobDefinition]:
        """All of them."""
        return MappingProxyType(self._by_name)


DEFINITIONS = Definitions()


def remember(definition: JobDefinition, owner: object) -> None:
    """Register a job under its name, and under what it was made from.

    Raises:
        JobRegistrationError: another job has that name; the same one, imported again, replaces the former.
    """
    DEFINITIONS.add(definition, owner)


def all_jobs() -> Mapping[str, JobDefinition]:
    """Every registered job by name."""
    return DEFINITIONS.by_name()


def find_job(name: str) -> JobDefinition:
    """The job of that name.

    Raises:
        UnknownJobError: there is none.
    """
    try:
        return DEFINITIONS.named(name)
    except KeyError:
        raise UnknownJobError(
            f"no job is named {name!r}: register it with @Job.register(), and import its module"
        ) from None


#: To those who dispatch what a function has returned.
_NOT_CALLED = "a function that is a job is dispatched by f.dispatch(x), or as f.with_arguments(x), and not as f(x)"


def definition_of(job: object) -> JobDefinition:
    """The definition of a job, of its class, or of a function made a job.

    Raises:
        UnknownJobError: it is not registered; a subclass is not by its parent.
    """
    owner = type(job) if isinstance(job, Job) else job
    try:
        definition = DEFINITIONS.of_owner(owner)
    except TypeError:  # unhashable
        definition = None
    if definition is None:
        raise _unknown(owner)
    return definition


def _unknown(owner: object) -> UnknownJobError:
    if isinstance(owner, CoroutineType):
        if inspect.getcoroutinestate(owner) == inspect.CORO_CREATED:
            owner.close()  # else a warning that it was never awaited follows the error, and hides it
        return UnknownJobError(f"{owner.__qualname__}() was called, which makes no job of it: {_NOT_CALLED}")
    text = (
        f"{owner.__qualname__ if isinstance(owner, type) else shown(owner, 100)} is not a registered job: "
        "put @Job.register() on the class (as the outermost decorator), or @job() on the function"
    )
    return UnknownJobError(text if callable(owner) or isinstance(owner, Job) else f"{text}; {_NOT_CALLED}")


def arguments_of(job: Job) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """What its constructor was called with."""
    return job._call


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives something to await, wrappers by ``functools.wraps`` included."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inspect.unwrap(function))


def refuse_generator(function: Callable[..., Any], where: str) -> None:
    """Raises JobRegistrationError where a body has ``yield``: nobody would run it."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise JobRegistrationError(f"{where} is a generator: a job returns its result, it does not yield")


def summary_of(documented: Any) -> str:
    """The first line of its own docstring, or an empty string."""
    text = inspect.cleandoc(vars(documented).get("__doc__") or getattr(documented, "__doc__", None) or "").strip()
    # Where there is none, a dataclass makes one from its signature, and a class inherits Job's.
    if text.startswith(f"{documented.__name__}(") or text == inspect.cleandoc(Job.__doc__ or ""):
        return ""
    return text.partition("\n")[0]


def names_near(frame: FrameType, *annotated: Any) -> Mapping[str, Any]:
    """Of the local names where a job is defined inside a function or class, those that annotations may mean."""
    if frame.f_locals is frame.f_globals:
        return {}
    text = " ".join(str(annotation) for item in annotated for annotation in own_annotations(item).values())
    return {name: value for name, value in frame.f_locals.items() if name in text}


def _check_class(cls: Any) -> None:
    if not (isinstance(cls, type) and issubclass(cls, Job)):
        raise JobRegistrationError(f"{cls!r:.100} cannot be a job: it is no subclass of heracles.Job")
    if cls.execute is Job.execute or not callable(cls.execute):
        raise JobRegistrationError(f"{cls.__qualname__} cannot be a job: it has no execute()")
    if cls.__new__ is not Job.__new__:
        raise JobRegistrationError(f"{cls.__qualname__} cannot be a job with its own __new__: use __init__")
    refuse_generator(cls.execute, f"{cls.__qualname__}.execute()")
    _refuse_parameters(cls)


def _refuse_parameters(cls: type[Job]) -> None:
    """Raises JobRegistrationError where ``execute`` needs arguments: nobody would give it any."""
    execute = inspect.getattr_static(cls, "execute")
    if not isinstance(execute, FunctionType):
        return
    # Not that of a wrapped one: a decorator may give it what it needs.
    signature = inspect.signature(execute, follow_wrapped=False)
    try:
        signature.bind(None)
    except TypeError:
        raise JobRegistrationError(
            f"{cls.__qualname__} cannot be a job with execute({', '.join(signature.parameters)}): "
            "arguments go to the constructor, execute(self) takes none"
        ) from None


def _origin(definition: JobDefinition) -> tuple[str, str]:
    """File and qualified name: equal for a module that is imported twice, also once as ``__main__``."""
    module = definition.cls.__module__
    # Where there is no file (an interactive session), the module's name stands for it.
    file = getattr(sys.modules.get(module), "__file__", None)
    return str(Path(file).resolve()) if file else module, definition.cls.__qualname__


def _described(definition: JobDefinition) -> str:
    return f"{definition.cls.__module__}.{definition.cls.__qualname__}"
