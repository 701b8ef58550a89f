"""``@job``: a function is a job too."""

import functools
import sys
from collections.abc import Callable, Coroutine, Mapping
from types import FrameType, FunctionType, MappingProxyType
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from heracles.codec import Source
from heracles.errors import JobRegistrationError
from heracles.job import Job, JobDefinition, JobOptions, is_async, names_near, refuse_generator, remember, summary_of
from heracles.options import Scope, check_id, check_options, check_queue_name
from heracles.portal import PORTAL
from heracles.queue import DispatchOptions, JobHandle, Queue, SyncJobHandle

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class FunctionCall(Job):
    """One call of a function as a job; each ``@job`` function has a subclass of its own."""

    function: ClassVar[Callable[..., Any]]

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs

    def execute(self) -> Any:
        """What the function returns: to be awaited where it is ``async def``."""
        return self.function(*self.args, **self.kwargs)


class FunctionDispatch(Generic[P, R]):
    """Dispatches of one function with certain options: ``send_email.with_options(priority=1).dispatch("a@…")``."""

    def __init__(self, job: "FunctionJob[P, Any, R]", queue: Queue | str | None, options: Mapping[str, Any]) -> None:
        self._job = job
        self._queue = queue
        self._options = options

    async def dispatch(self, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """As ``Queue.dispatch``, with the function's own parameters."""
        queue = self._queue if isinstance(self._queue, Queue) else Queue.get(self._queue or self._job.definition.queue)
        return await queue.dispatch(self._job, args, kwargs=kwargs, **self._options)

    @property
    def sync(self) -> "SyncFunctionDispatch[P, R]":
        """The same without await, for threads that have no running event loop."""
        return SyncFunctionDispatch(self)


class SyncFunctionDispatch(Generic[P, R]):
    """``FunctionDispatch`` without await."""

    def __init__(self, awaited: FunctionDispatch[P, R]) -> None:
        self._awaited = awaited

    def dispatch(self, /, *args: P.args, **kwargs: P.kwargs) -> SyncJobHandle[R]:
        """As ``FunctionDispatch.dispatch``."""
        handle = PORTAL.run(lambda: self._awaited.dispatch(*args, **kwargs), awaited="await function.dispatch()")
        return handle.sync


class FunctionJob(Generic[P, T, R]):
    """A function that is a job: calling it runs it here and now, ``dispatch`` sends it to its queue.

    ``P`` are its parameters, ``T`` is what a call returns, ``R`` is the job's result.
    """

    # Taken over from the function, with its docstring and signature.
    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[P, T], definition: JobDefinition) -> None:
        self.function = function
        self.definition = definition
        functools.update_wrapper(self, function)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function itself."""
        return self.function(*args, **kwargs)

    async def dispatch(self, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Store one call of it; as ``Queue.dispatch``, with the function's own parameters."""
        return await self.with_options().dispatch(*args, **kwargs)

    def with_options(
        self, queue: Queue | str | None = None, **options: Unpack[DispatchOptions]
    ) -> FunctionDispatch[P, R]:
        """The same with another queue, or options of the dispatch: those of ``Queue.dispatch``."""
        return FunctionDispatch(self, queue, options)

    def with_arguments(self, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """One call of it as a job instance, as ``Queue.dispatch_many`` takes them. Nothing runs yet."""
        return cast("type[FunctionCall]", self.definition.cls)(*args, **kwargs)

    @property
    def sync(self) -> SyncFunctionDispatch[P, R]:
        """``dispatch`` without await, for threads that have no running event loop."""
        return self.with_options().sync

    def __repr__(self) -> str:
        return f"<job {self.definition.name!r}: {self.function!r}>"


class JobDecorator:
    """What ``@job(…)`` returns."""

    def __init__(self, name: str | None, queue: str, options: Mapping[str, Any]) -> None:
        self._name = name
        self._queue = queue
        self._options = options

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]]) -> FunctionJob[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> FunctionJob[P, R, R]: ...
    def __call__(self, function: Callable[P, Any]) -> FunctionJob[P, Any, Any]:
        """Register the function."""
        return self.register(function, sys._getframe(1))

    def register(self, function: Callable[P, Any], frame: FrameType) -> FunctionJob[P, Any, Any]:
        """Make the function a job; ``frame`` is where it is defined."""
        if not isinstance(function, FunctionType):
            raise JobRegistrationError(f"{function!r:.100} cannot be a job: @job() is for functions, Job for classes")
        refuse_generator(function, f"{function.__qualname__}()")
        source = Source(callable=function, where=function.__qualname__, names=names_near(frame, function))
        definition = JobDefinition(
            name=self._name or function.__name__,
            cls=_class_of(function),
            queue=self._queue,
            options=self._options,
            is_async=is_async(function),
            summary=summary_of(function),
            call=source,
            work=source,
        )
        made: FunctionJob[P, Any, Any] = FunctionJob(function, definition)
        remember(definition, made)
        # Also by the class of single calls, which ``with_arguments`` makes.
        remember(definition, definition.cls)
        return made


def _class_of(function: FunctionType) -> type[FunctionCall]:
    names = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "function": staticmethod(function),
    }
    return type(function.__name__, (FunctionCall,), names)


@overload
def job(function: Callable[P, Coroutine[Any, Any, R]], /) -> FunctionJob[P, Coroutine[Any, Any, R], R]: ...
@overload
def job(function: Callable[P, R], /) -> FunctionJob[P, R, R]: ...
@overload
def job(*, name: str | None = None, queue: str = "default", **options: Unpack[JobOptions]) -> JobDecorator: ...
def job(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    queue: str = "default",
    **options: Unpack[JobOptions],
) -> Any:
    """Make a function a job; its options are those of ``Job.register``, its name the function's by default::

        @job(queue="emails")
        async def send_email(to: str) -> None: ...

        await send_email.dispatch("a@example.com")

    Raises:
        OptionError: a value is not allowed.
        JobRegistrationError: it is no function, or another job has its name.
    """
    checked = check_options(options, Scope.JOB, "@job", also=("name", "queue"))
    decorate = JobDecorator(
        None if name is None else check_id(name, "name"), check_queue_name(queue), MappingProxyType(checked)
    )
    return decorate if function is None else decorate.register(function, sys._getframe(1))
