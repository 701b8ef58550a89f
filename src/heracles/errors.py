"""Every error that Heracles raises on purpose.

HeraclesError
├── JobRegistrationError        a job class or function cannot be registered or decoded
├── UnknownJobError             no job of that name or class is registered
├── ArgumentsError              arguments do not bind, do not fit their annotations, or cannot be encoded
├── OptionError                 an option, id, name or configuration value is not allowed (also a ValueError)
├── PayloadTooLargeError        the encoded arguments are over ``max_payload_bytes``
├── ResultError                 what a job returned cannot be encoded, or is over ``max_result_bytes``
├── QueueDrainingError          the queue takes no new dispatches until ``resume()``
├── JobNotFoundError            the record of a job is gone or never existed (also a LookupError)
├── JobFailedError              ``handle.result()``: the job ended FAILED
├── JobCancelledError           ``handle.result()``: the job ended CANCELLED
├── ResultTimeoutError          ``handle.result()`` or ``queue.drain()`` took too long (also a TimeoutError)
├── RunningLoopError            a sync call where an event loop runs, which has the awaited form (also a RuntimeError)
├── ConfigurationError          a configuration file, URL or connection name cannot be used
└── TransportError              the store did not do what was asked
    └── TransportUnavailableError   it could not be reached, or not in time: trying again may help

Fail                            raised by a job's own code: fail for good, without a retry
"""

from collections.abc import Sequence


def shown(value: object, longest: int = 80) -> str:
    """A value as messages show it: the beginning of its repr, or its type where it has none."""
    try:
        return f"{value!r:.{longest}}"
    except Exception:  # noqa: BLE001 - its own __repr__ may raise anything, and so does a number of too many digits
        return f"<{type(value).__qualname__}>"


class HeraclesError(Exception):
    """Base of all errors of this package."""


class JobRegistrationError(HeraclesError):
    """A class or function cannot be a job; the message names it and the reason."""


class UnknownJobError(HeraclesError):
    """No job is registered under that name or for that class."""


class ArgumentsError(HeraclesError):
    """Arguments of a dispatch do not bind to the constructor, do not fit an annotation or cannot be encoded."""


class OptionError(HeraclesError, ValueError):
    """A value is not allowed; the message names the option and what is allowed."""


class PayloadTooLargeError(HeraclesError):
    """The encoded arguments exceed the transport's ``max_payload_bytes``."""


class ResultError(HeraclesError):
    """What a job returned cannot be encoded, or is larger than ``max_result_bytes``: the job fails with this error.

    Also what another program has stored as a result, and is no JSON, at ``handle.result()``.
    """


class QueueDrainingError(HeraclesError):
    """The queue is draining and takes no new dispatches until it is resumed."""


class JobNotFoundError(HeraclesError, LookupError):
    """There is no record of that job: it expired, was cleaned up, or never existed."""


class JobFailedError(HeraclesError):
    """The job ended FAILED.

    Attributes:
        error: one line, ``ExceptionType: message``, as the worker stored it.
        traceback: the traceback text, or None where there was none.
    """

    def __init__(self, message: str, *, error: str = "", traceback: str | None = None) -> None:
        super().__init__(message)
        self.error = error
        self.traceback = traceback


class JobCancelledError(HeraclesError):
    """The job ended CANCELLED."""


class ResultTimeoutError(HeraclesError, TimeoutError):
    """What was waited for did not happen within the time given; it may still happen later."""


class RunningLoopError(HeraclesError, RuntimeError):
    """A method of ``queue.sync`` was called in a thread whose event loop is running: await the queue's own method."""


class ConfigurationError(HeraclesError):
    """A configuration file, URL, connection name or environment variable cannot be used."""


class TransportError(HeraclesError):
    """The store refused or could not do what was asked.

    Attributes:
        handles: for a dispatch, the handles of the jobs that may or may not have been stored. Dispatching again with
            the same ``dispatch_id`` is safe: a job is stored once at most.
    """

    def __init__(self, message: str, *, handles: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.handles: Sequence[object] = tuple(handles)


class TransportUnavailableError(TransportError):
    """The store could not be reached, or did not answer in time: the same call may go through later."""


class Fail(Exception):  # noqa: N818 - the contract's name; it is raised by users, not at them
    """Raise this inside a job to fail it for good: it goes to FAILED without using its remaining retries."""
