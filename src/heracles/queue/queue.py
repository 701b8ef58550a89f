"""``Queue`` and the registry of queues."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar, Unpack, overload

from heracles.job import definition_of
from heracles.options import check_queue_name
from heracles.queue.calls import QueueCalls
from heracles.queue.client import QueueClient
from heracles.queue.envelopes import AsyncClass, AsyncFunction, DispatchOptions, ThreadClass, ThreadFunction
from heracles.queue.handle import JobHandle
from heracles.queue.serving import used_no_more
from heracles.queue.settings import Given, QueueSettings
from heracles.queue.sync import SyncQueue
from heracles.transport import Transport

R = TypeVar("R")


class Queue(QueueCalls):
    """A named list of jobs. ``Queue.get(name)`` returns the one of that name; there is no other way to make one."""

    def __init__(self, name: str) -> None:
        self._settings = QueueSettings(name)
        super().__init__(QueueClient(name, self._settings))
        self._sync = SyncQueue(self)

    # -------------------------------------------------------------------------------------------------- registry

    @staticmethod
    def get(
        name: str,
        concurrency: int | None = None,
        max_retries: int | None = None,
        retry_delay: float | timedelta | None = None,
        pause_on_error: bool | None = None,
        transport: type[Transport] | Transport | None = None,
        transport_options: Mapping[str, Any] | None = None,
    ) -> "Queue":
        """The queue of that name, the same object at every call.

        Options may be given once, before or after bare gets, until the queue is first used. Nothing is connected yet.

        Args:
            name: 1 to 128 letters, digits, ``_``, ``.`` or ``-``.
            concurrency: how many of its jobs a worker runs at once; 1 by default.
            max_retries: how often a job that raises is run again; 3 by default.
            retry_delay: milliseconds or timedelta between those runs; 5000 by default.
            pause_on_error: whether a job that fails for good pauses the queue.
            transport: a class, with ``transport_options``, or an instance; by default the store that is configured.
            transport_options: options of the transport.

        Raises:
            OptionError: a value is not allowed, or other options were given before, or the queue is in use.
        """
        settings = {
            "concurrency": concurrency,
            "max_retries": max_retries,
            "retry_delay": retry_delay,
            "pause_on_error": pause_on_error,
        }
        given = Given.of(settings, transport, transport_options)
        queue = QUEUES.get(check_queue_name(name)) or QUEUES.setdefault(name, Queue(name))
        queue._settings.give(given)
        return queue

    @staticmethod
    def exists(name: str) -> bool:
        """Whether this process has got a queue of that name."""
        return name in QUEUES

    @staticmethod
    def get_all() -> dict[str, "Queue"]:
        """All queues that this process has got, by name."""
        return dict(QUEUES)

    @staticmethod
    def remove(name: str) -> bool:
        """Forget a queue in this process, with its options; its jobs stay in the store. Whether there was one."""
        used_no_more(name)
        return QUEUES.pop(name, None) is not None

    # -------------------------------------------------------------------------------------------------- settings

    @property
    def settings_given(self) -> Mapping[str, Any]:
        """The settings that were given, in milliseconds where they are times; without those that were not."""
        return self._settings.given

    @property
    def transport(self) -> Transport:
        """The transport, settled at the first use."""
        return self._settings.transport

    @property
    def declared_transport(self) -> Transport | None:
        """The transport, if ``Queue.get`` was given one or options for it."""
        return self._settings.declared_transport

    @property
    def sync(self) -> SyncQueue:
        """The same methods without await, for threads that have no running event loop."""
        return self._sync

    def __repr__(self) -> str:
        return f"Queue({self.name!r})"


#: The queues of this process by name.
QUEUES: dict[str, Queue] = {}


@overload
async def dispatch(
    job: AsyncClass[R], args: Sequence[Any] | None = None, *,
    kwargs: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions],
) -> JobHandle[R]: ...  # fmt: skip
@overload
async def dispatch(
    job: ThreadClass[R], args: Sequence[Any] | None = None, *,
    kwargs: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions],
) -> JobHandle[R]: ...  # fmt: skip
@overload
async def dispatch(
    job: AsyncFunction[R], args: Sequence[Any] | None = None, *,
    kwargs: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions],
) -> JobHandle[R]: ...  # fmt: skip
@overload
async def dispatch(
    job: ThreadFunction[R], args: Sequence[Any] | None = None, *,
    kwargs: Mapping[str, Any] | None = None, **options: Unpack[DispatchOptions],
) -> JobHandle[R]: ...  # fmt: skip
async def dispatch(
    job: Any,
    args: Sequence[Any] | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    **options: Unpack[DispatchOptions],
) -> JobHandle[Any]:
    """``Queue.dispatch`` on the queue that the job's registration names."""
    return await Queue.get(definition_of(job).queue).dispatch(job, args, kwargs=kwargs, **options)
