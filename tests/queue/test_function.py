"""Functions as jobs."""

import asyncio
import gc
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from heracles import (
    ArgumentsError,
    Job,
    JobRegistrationError,
    JobStatus,
    OptionError,
    Queue,
    UnknownJobError,
    dispatch,
    job,
)
from heracles.job import JobRun, all_jobs, definition_of
from heracles.transport import Transport
from tests.queue.jobs import add, join

RUN = JobRun(id="j", dispatch_id="d", job_name="queue-add", queue_name="letters", token=1)


@pytest.fixture
def letters(memory: Transport) -> Queue:
    return Queue.get("letters", transport=memory)


async def test_calling_it_still_calls_it() -> None:
    assert await add(1, right=2) == 3
    assert join("a", "b", by="-") == "a-b"


async def test_it_looks_like_the_function() -> None:
    assert (add.__name__, add.__doc__, add.__module__) == ("add", "Add two numbers.", "tests.queue.jobs")
    assert list(inspect.signature(add).parameters) == ["left", "right"]
    assert "queue-add" in repr(add)


async def test_it_is_registered() -> None:
    definition = definition_of(add)
    assert all_jobs()["queue-add"] is definition is add.definition
    assert (definition.queue, definition.summary, dict(definition.options)) == (
        "letters",
        "Add two numbers.",
        {"max_retries": 1},
    )
    assert definition.is_async
    assert not definition_of(join).is_async


async def test_its_parameters_may_have_any_name(letters: Queue) -> None:
    @job(queue="letters")
    async def any_name(self: int, cls: int, queue: int = 0, args: int = 0, *, options: int = 0) -> int:
        return self + cls + queue + args + options

    assert await any_name(self=1, cls=2, queue=3) == 6
    handles = [
        await any_name.dispatch(self=1, cls=2, queue=3, args=4, options=5),
        await any_name.with_options(priority=1).dispatch(self=1, cls=2, queue=3, args=4, options=5),
        await letters.dispatch(any_name.with_arguments(self=1, cls=2, queue=3, args=4, options=5)),
        (await asyncio.to_thread(lambda: any_name.sync.dispatch(self=1, cls=2, queue=3, args=4, options=5))).awaited,
    ]
    for handle in handles:
        info = await handle.info()
        assert (info.args, info.kwargs) == ([1, 2, 3, 4], {"options": 5})


async def test_it_is_dispatched_with_its_own_parameters(letters: Queue) -> None:
    for handle in (await add.dispatch(1, right=2), await letters.dispatch(add, [1, 2])):
        info = await handle.info()
        assert (info.name, info.queue, info.args, info.kwargs) == ("queue-add", "letters", [1, 2], {})
    with pytest.raises(ArgumentsError, match="'left'"):
        await add.dispatch("1")  # type: ignore[arg-type]
    with pytest.raises(ArgumentsError, match="'left'"):
        await add.dispatch()  # type: ignore[call-arg]


async def test_it_is_dispatched_with_options_and_to_another_queue(letters: Queue, memory: Transport) -> None:
    handle = await add.with_options(priority=1, job_id="sum").dispatch(1)
    info = await handle.info()
    assert (info.priority, info.job_id, info.queue) == (1, "sum", "letters")
    other = Queue.get("other", transport=memory)
    assert (await add.with_options("other").dispatch(1)).queue == "other"
    assert (await add.with_options(other, delay=60_000).dispatch(1)).queue == "other"
    with pytest.raises(OptionError, match="priority"):
        await add.with_options(priority=1000).dispatch(1)


async def test_a_worker_builds_and_runs_it() -> None:
    definition = definition_of(add)
    assert await definition.build(b"[1]", b'{"right":5}', RUN).execute() == 6
    assert definition_of(join).build(b'["a","b"]', b'{"by":"/"}', RUN).execute() == "a/b"
    assert definition.result_spec.decode(b"3") == 3


def test_it_is_dispatched_without_await(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from heracles.sqlite import SqliteTransport

    queue = Queue.get("letters", transport=SqliteTransport(":memory:"))
    handle = add.sync.dispatch(1, 2)
    assert handle.status() is JobStatus.PENDING
    assert add.with_options(priority=2).sync.dispatch(1).info().priority == 2
    assert queue.sync.counts()[JobStatus.PENDING] == 2


async def test_the_decorator_needs_no_parentheses() -> None:
    @job
    async def bare_function_job() -> int:
        return 1

    assert definition_of(bare_function_job).queue == "default"
    assert await bare_function_job() == 1


async def test_local_types_are_found() -> None:
    import dataclasses

    @dataclasses.dataclass
    class LocalPart:
        x: int

    @job()
    def with_local_part(part: "LocalPart") -> "LocalPart":
        return part

    @job
    def with_local_part_too(part: "LocalPart") -> None: ...

    for function in (with_local_part, with_local_part_too):
        assert definition_of(function).spec.encode([LocalPart(1)], {}) == (b'[{"x":1}]', b"")
    assert definition_of(with_local_part).result_spec.decode(b'{"x":1}') == LocalPart(1)


async def test_what_cannot_be_a_function_job() -> None:
    with pytest.raises(JobRegistrationError, match="for functions"):
        job()(print)
    with pytest.raises(JobRegistrationError, match="for functions"):
        job(type("Class", (), {}))
    with pytest.raises(JobRegistrationError, match="generator"):

        @job()
        def yields_a_job():  # type: ignore[no-untyped-def]
            yield 1

    with pytest.raises(OptionError, match="no option 'retries'"):
        job(retries=3)  # type: ignore[call-overload]
    with pytest.raises(OptionError, match="queue name"):
        job(queue="a b")


async def test_names_are_shared_with_classes() -> None:
    with pytest.raises(JobRegistrationError, match="queue-add"):

        @Job.register(name="queue-add")
        class Adds(Job):
            def execute(self) -> None: ...


async def test_the_plain_function_is_no_job(letters: Queue) -> None:
    with pytest.raises(UnknownJobError):
        await letters.dispatch(add.function, [1])


async def test_what_a_call_returns_is_no_job(letters: Queue) -> None:
    called: Any = add(1)
    # Without the warning, which is an error here, that nobody awaited it.
    with pytest.raises(UnknownJobError, match=r"add\(\) was called.* f\.dispatch\(x\), or as f\.with_arguments\(x\)"):
        await letters.dispatch(called)
    called = join("a", "b")
    with pytest.raises(UnknownJobError, match=r"'a b' is not a registered job.*f\.with_arguments\(x\)"):
        await dispatch(called)


@pytest.mark.parametrize("kind", [list, tuple, set])
async def test_what_many_calls_return_is_no_job(letters: Queue, kind: Callable[[Any], Iterable[Any]]) -> None:
    """One error, and no warnings of what was never awaited, which are errors here."""
    called = [add(number) for number in range(3)]
    with pytest.raises(UnknownJobError, match=r"add\(\) was called"):
        await letters.dispatch_many(kind([add.with_arguments(1), *called]))
    with pytest.raises(UnknownJobError, match=r"add\(\) was called"):
        await letters.dispatch_many(add(number) for number in range(3))  # type: ignore[misc]
    with pytest.raises(ArgumentsError, match="'left'"):
        await letters.dispatch_many([add.with_arguments("1"), add(1)])  # type: ignore[arg-type, list-item]
    gc.collect()
    assert not await letters.jobs()


async def test_a_coroutine_that_runs_already_is_left_alone(letters: Queue) -> None:
    begun = asyncio.create_task(asyncio.sleep(0, 3))
    await asyncio.sleep(0)
    running: Any = begun.get_coro()
    with pytest.raises(UnknownJobError, match="sleep"):
        await letters.dispatch(running)
    assert await begun == 3


async def test_calls_of_functions_are_dispatched_together(letters: Queue) -> None:
    calls = [add.with_arguments(1, right=2), add.with_arguments(3), join.with_arguments("a", "b")]
    assert all(isinstance(call, Job) for call in calls)
    assert await calls[0].execute() == 3
    handles = await letters.dispatch_many(calls, priority=3)
    infos = [await handle.info() for handle in handles]
    assert [(info.name, info.args, info.priority) for info in infos] == [
        ("queue-add", [1, 2], 3),
        ("queue-add", [3], 3),
        (definition_of(join).name, ["a", "b"], 3),
    ]
    with pytest.raises(ArgumentsError, match="'left'"):
        await letters.dispatch(add.with_arguments("1"))  # type: ignore[arg-type]
