"""Runs the code of jobs: a delivery becomes an outcome. The store is not known here."""

import asyncio
import contextvars
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable

from heracles.codec import encode_result, error_text
from heracles.errors import ArgumentsError, Fail, JobRegistrationError, ResultError
from heracles.job import RUN, Job, JobDefinition, JobRun
from heracles.model import JobStatus
from heracles.worker.deadlines import Deadlines
from heracles.worker.held import HeldJob, Stop
from heracles.worker.outcome import Ending, GivenBack, Outcome, Raised, Released, Returned, conclude, timed_out
from heracles.worker.threads import ThreadPool

logger = logging.getLogger("heracles.worker")

#: Seconds that an async job has to end after it was cancelled for its time-out, until the time-out is reported without
#: waiting for it. Most end at once, and one report is better than two.
GRACE_S = 0.5

#: Told of every job once how it turned out, and of one that outlives its time-out a second time when it has ended.
Ended = Callable[[HeldJob, Outcome], None]


class Executor:
    """Runs jobs on the event loop that it was made on, or in threads. One a worker."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPool()
        self._deadlines: Deadlines[tuple[HeldJob, Ended]] = Deadlines(self._expired)
        # What user code finds in context variables must not depend on which of the worker's parts started it.
        self._context = contextvars.copy_context()

    def start(self, job: HeldJob, definition: JobDefinition, max_result_bytes: int, ended: Ended) -> None:
        """Run it; ``ended`` is called on the event loop with the outcome, never from within this call."""
        run = JobRun.of(job.queue, job.delivery)
        job.flag = run
        call = _Call(job, definition, run, max_result_bytes)
        if job.plan.timeout_ms is not None:
            self._deadlines.add((job, ended), job.plan.timeout_ms / 1000)
        if definition.is_async:
            job.task = self._loop.create_task(self._on_loop(call, ended), context=self._context.copy())
        else:
            self._threads.submit(lambda: self._in_thread(call, ended))

    def stop(self, job: HeldJob, why: Stop) -> None:
        """Ask its code to end: an async job's task is cancelled, and ``cancelled`` turns true.

        The first reason counts; asked again, a task that swallowed the first cancellation is cancelled once more.
        """
        if job.ended:
            return
        if job.stop is None:
            job.stop = why
            if why is Stop.CANCELLED and job.flag is not None:
                job.flag.status = JobStatus.CANCELLED
        job.raise_flag()
        # A task cancelled before its first step would end without a word: it looks at ``stop`` itself.
        if job.task is not None and job.begun:
            job.task.cancel()

    def close(self) -> None:
        """Nothing more will be started."""
        self._deadlines.close()
        self._threads.close()

    async def _on_loop(self, call: "_Call", ended: Ended) -> None:
        self._end(call.job, await call.run_async(), ended)

    def _in_thread(self, call: "_Call", ended: Ended) -> None:
        call.job.thread_id = threading.get_ident()
        ending = self._context.copy().run(call.run_here)
        call.job.thread_id = None
        try:
            self._loop.call_soon_threadsafe(self._end, call.job, ending, ended)
        except RuntimeError:
            logger.info("%s ended after its worker had", call.job)

    def _end(self, job: HeldJob, ending: Ending | None, ended: Ended) -> None:
        job.ended = True
        job.task = None
        if job.plan.timeout_ms is not None:
            self._deadlines.discard((job, ended))
        ended(job, _outcome(job, ending))

    def _expired(self, item: tuple[HeldJob, Ended]) -> None:
        job, ended = item
        if job.stop is None:
            self.stop(job, Stop.TIMED_OUT)
            if job.task is not None:
                self._deadlines.add(item, GRACE_S)
                return
        if job.stop is Stop.TIMED_OUT:
            job.outlived_its_report = True
            ended(job, timed_out(job.plan.timeout_ms, _stack(job), still_running=True))


class _Call:
    """The call of one job's code. Whatever it raises, SystemExit and the like included, is its own failure."""

    __slots__ = ("_definition", "_limit", "_run", "job")

    def __init__(self, job: HeldJob, definition: JobDefinition, run: JobRun, max_result_bytes: int) -> None:
        self.job = job
        self._definition = definition
        self._run = run
        self._limit = max_result_bytes

    async def run_async(self) -> Ending | None:
        """On the event loop; None when it was too late to begin."""
        if not self._may_begin():
            return None
        try:
            instance = self._build()
        except BaseException as error:  # noqa: BLE001 - the constructor is user code too
            return _not_built(error)
        try:
            return self._returned(await instance.execute())
        except BaseException as error:  # noqa: BLE001 - user code
            return _raised(error)

    def run_here(self) -> Ending | None:
        """In a thread of its own; None when it was too late to begin."""
        if not self._may_begin():
            return None
        try:
            instance = self._build()
        except BaseException as error:  # noqa: BLE001 - the constructor is user code too
            return _not_built(error)
        try:
            return self._returned(instance.execute())
        except BaseException as error:  # noqa: BLE001 - user code
            return _raised(error)

    def _may_begin(self) -> bool:
        job = self.job
        # A process that was frozen since the store started the job must not begin what may run elsewhere by now.
        job.begun = job.stop is None and time.monotonic() < job.lease_until
        return job.begun

    def _build(self) -> Job:
        # Task and thread have a context of their own, which ends with them.
        RUN.set(self._run)
        envelope = self.job.delivery.envelope
        return self._definition.build(envelope.args, envelope.kwargs, self._run)

    def _returned(self, value: object) -> Ending:
        try:
            return Returned(result=encode_result(value, self._limit))
        except ResultError as error:
            return _failed_for_good(error)


def _outcome(job: HeldJob, ending: Ending | None) -> Outcome:
    if ending is None:
        return Released() if job.stop is Stop.CANCELLED else GivenBack(begun=False)
    if job.outlived_its_report:
        return Released()
    return conclude(ending, job.stop, job.plan.timeout_ms)


def _raised(error: BaseException) -> Raised:
    text, trace = error_text(error)
    return Raised(error=text, traceback=trace, for_good=_is_fail(error))


def _not_built(error: BaseException) -> Raised:
    """Arguments that do not fit will never fit; what the constructor raises counts as raised by the job."""
    if isinstance(error, ArgumentsError | JobRegistrationError):
        return _failed_for_good(error)
    return _raised(error)


def _failed_for_good(error: BaseException) -> Raised:
    # Its traceback would show this package's code alone.
    return Raised(error=error_text(error)[0], for_good=True)


def _is_fail(error: BaseException) -> bool:
    """Whether it is ``Fail``, or nothing but ``Fail`` in a group, as a TaskGroup wraps it."""
    waiting = [error]
    # A loop, for groups may be nested deeper than calls may.
    while waiting:
        found = waiting.pop()
        if isinstance(found, BaseExceptionGroup):
            waiting.extend(found.exceptions)
        elif not isinstance(found, Fail):
            return False
    return True


def _stack(job: HeldJob) -> str | None:
    """Where the code of a running job is."""
    if job.task is not None:
        frames = [traceback.extract_stack(frame, limit=1)[0] for frame in job.task.get_stack()]
        return "".join(traceback.format_list(frames)) or None
    frame = sys._current_frames().get(job.thread_id) if job.thread_id is not None else None
    return "".join(traceback.format_stack(frame)) if frame is not None else None
