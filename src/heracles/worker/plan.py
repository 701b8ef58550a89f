"""What governs one run, and one queue in a worker: settings merged by precedence."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from heracles.model import Envelope, Value
from heracles.options import first_given

#: What a job's class may say of its runs; the rest of its options concern producers.
_OF_A_RUN = ("max_retries", "retry_delay", "timeout", "overlap_delay", "status_ttl")


class Plan(Value, frozen=True, kw_only=True):
    """What governs one run of a job."""

    max_retries: int
    retry_delay_ms: int
    timeout_ms: int | None
    overlap_delay_ms: int
    status_ttl_s: int | None
    """None: the transport's."""
    pause_on_error: bool


class QueueSettings:
    """One queue's settings in one worker.

    ``layers`` are the checked options that were given for the queue, the strongest first: to ``create_queue`` or on
    the command line, in the configuration file, to ``Queue.get``.
    """

    def __init__(self, layers: Iterable[Mapping[str, Any]]) -> None:
        self._layers = tuple(layers)
        self._plans: dict[str, Plan] = {}
        self.concurrency: int = first_given("concurrency", self._layers)
        self.pause_on_error: bool = first_given("pause_on_error", self._layers)
        self.unknown = self._merged({})
        """What governs a job whose class is not known here."""

    def plan(self, envelope: Envelope, options: Mapping[str, Any]) -> Plan:
        """What governs a run of this dispatch, whose job's class was registered with ``options``."""
        plan = self._plans.get(envelope.name)
        if plan is None:
            plan = self._plans[envelope.name] = self._merged(options)
        return _with_dispatch_options(plan, envelope)

    def _merged(self, options: Mapping[str, Any]) -> Plan:
        layers: Sequence[Mapping[str, Any]] = (options, *self._layers)
        found = {name: first_given(name, layers) for name in _OF_A_RUN if name != "status_ttl"}
        return Plan(
            max_retries=found["max_retries"],
            retry_delay_ms=found["retry_delay"],
            timeout_ms=found["timeout"],
            overlap_delay_ms=found["overlap_delay"],
            status_ttl_s=options.get("status_ttl"),
            pause_on_error=self.pause_on_error,
        )


def _with_dispatch_options(plan: Plan, envelope: Envelope) -> Plan:
    """The plan, with what was given at the dispatch in front."""
    given = (
        envelope.max_retries,
        envelope.retry_delay_ms,
        envelope.timeout_ms,
        envelope.overlap_delay_ms,
        envelope.status_ttl_s,
    )
    if given == (None, None, None, None, None):
        return plan
    retries, retry_delay, timeout, overlap_delay, ttl = given
    return Plan(
        max_retries=plan.max_retries if retries is None else retries,
        retry_delay_ms=plan.retry_delay_ms if retry_delay is None else retry_delay,
        timeout_ms=plan.timeout_ms if timeout is None else timeout,
        overlap_delay_ms=plan.overlap_delay_ms if overlap_delay is None else overlap_delay,
        status_ttl_s=plan.status_ttl_s if ttl is None else ttl,
        pause_on_error=plan.pause_on_error,
    )
