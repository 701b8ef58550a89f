"""Runs the code of jobs: a delivery becomes an outcome. The store is not known here."""

import asyncio
import contextvars
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable

import msgspec

from heracles.codec import encode_result, error_text
from heracles.errors import ArgumentsError, Fail, JobRegistrationError, ResultError
from heracles.job import RUN, Job, JobDefinition, JobRun
from heracles.model import JobStatus
from heracles.worker.deadlines import Deadlines
from heracles.worker.held import HeldJob, Stop
from heracles.worker.outcome import Completed, Ending, Failed, GivenBack, Outcome, Released, conclude, timed_out
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
        self._deadlines: Deadlines[_Call] = Deadlines(self._expired)
        self._ended_in_threads: deque[_Call] = deque()
        self._is_woken = False
        # What user code finds in context variables must not depend on which of the worker's parts started it.
        self._context = contextvars.copy_context()

    def start(self, job: HeldJob, definition: JobDefinition, max_result_bytes: int, ended: Ended) -> None:
        """Run it; ``ended`` is called on the event loop with the outcome, never from within this call."""
        run = job.flag = JobRun.of(job.queue, job.delivery)
        call = _Call(job, definition, run, max_result_bytes, ended)
        if job.plan.timeout_ms is not None:
            self._deadlines.add(call, job.plan.timeout_ms / 1000)
        if definition.is_async:
            job.task = self._loop.create_task(self._on_loop(call), context=self._context.copy())
        else:
            self._threads.submit(lambda: self._in_thread(call))

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

    async def _on_loop(self, call: "_Call") -> None:
        if (instance := call.begin()) is not None:
            try:
                call.returned(await instance.execute())
            except BaseException as error:  # noqa: BLE001 - user code
                call.raised(error)
        self._end(call)

    def _in_thread(self, call: "_Call") -> None:
        call.job.thread_id = threading.get_ident()
        self._context.copy().run(call.run_here)
        call.job.thread_id = None
        # One wake-up of the event loop for all that end before it looks.
        self._ended_in_threads.append(call)
        if self._is_woken:
            return
        self._is_woken = True
        try:
            self._loop.call_soon_threadsafe(self._collect)
        except RuntimeError:
            logger.info("%s ended after its worker had", call.job)

    def _collect(self) -> None:
        # First: whoever ends from now on wakes the loop again.
        self._is_woken = False
        while self._ended_in_threads:
            self._end(self._ended_in_threads.popleft())

    def _end(self, call: "_Call") -> None:
        job = call.job
        job.ended = True
        job.task = None
        if job.plan.timeout_ms is not None:
            self._deadlines.discard(call)
        call.ended(job, _outcome(job, call.ending))

    def _expired(self, call: "_Call") -> None:
        job = call.job
        if job.stop is None:
            self.stop(job, Stop.TIMED_OUT)
            if job.task is not None:
                self._deadlines.add(call, GRACE_S)
                return
        if job.stop is Stop.TIMED_OUT:
            job.outlived_its_report = True
            call.ended(job, timed_out(job.plan.timeout_ms, _stack(job), still_running=True))


class _Call(msgspec.Struct, eq=False):
    """The call of one job's code. Whatever it raises, SystemExit and the like included, is its own failure."""

    job: HeldJob
    definition: JobDefinition
    run: JobRun
    max_result_bytes: int
    ended: Ended
    ending: Ending | None = None
    """None: it was too late to begin."""

    def begin(self) -> Job | None:
        """The job, built; None where it was too late, or where it could not be built."""
        job = self.job
        # A process that was frozen since the store started the job must not begin what may run elsewhere by now.
        job.begun = job.stop is None and time.monotonic() < job.lease_until
        if not job.begun:
            return None
        # Task and thread have a context of their own, which ends with them.
        RUN.set(self.run)
        envelope = job.delivery.envelope
        try:
            return self.definition.build(envelope.args, envelope.kwargs, self.run)
        except BaseException as error:  # noqa: BLE001 - the constructor is user code too
            self.ending = _not_built(error)
            return None

    def run_here(self) -> None:
        """In a thread."""
        if (instance := self.begin()) is None:
            return
        try:
            self.returned(instance.execute())
        except BaseException as error:  # noqa: BLE001 - user code
            self.raised(error)

    def returned(self, value: object) -> None:
        """The code returned that."""
        try:
            self.ending = Completed(result=encode_result(value, self.max_result_bytes))
        except ResultError as error:
            self.ending = _failed_for_good(error)

    def raised(self, error: BaseException) -> None:
        """The code, or what encoded its result, raised that."""
        self.ending = _raised(error)


def _outcome(job: HeldJob, ending: Ending | None) -> Outcome:
    if ending is None:
        return Released() if job.stop is Stop.CANCELLED else GivenBack(begun=False)
    if job.outlived_its_report:
        return Released()
    # What ends a thread's job whose lease is lost may be the flag, before the event loop has heard of it.
    stop = Stop.LOST if job.stop is None and job.is_lost else job.stop
    return ending if stop is None else conclude(ending, stop, job.plan.timeout_ms)


def _raised(error: BaseException) -> Failed:
    text, trace = error_text(error)
    return Failed(error=text, traceback=trace, for_good=_is_fail(error))


def _not_built(error: BaseException) -> Failed:
    """Arguments that do not fit will never fit; what the constructor raises counts as raised by the job."""
    if isinstance(error, ArgumentsError | JobRegistrationError):
        return _failed_for_good(error)
    return _raised(error)


def _failed_for_good(error: BaseException) -> Failed:
    # Its traceback would show this package's code alone.
    return Failed(error=error_text(error)[0], for_good=True)


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
