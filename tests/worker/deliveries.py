"""Deliveries and plans for tests of single parts."""

from typing import Any

from heracles.model import Delivery, Envelope
from heracles.worker.held import HeldJob
from heracles.worker.plan import Plan


def delivery(name: str = "Some", args: bytes = b"[]", **fields: Any) -> Delivery:
    """One that the store has just started for the first time."""
    envelope = Envelope(job_id="job_1", dispatch_id=fields.pop("dispatch_id", "dispatch_1"), name=name, args=args)
    given = {"token": 1, "retries": 0, "deliveries": 1, "created_at_ms": 1000, "started_at_ms": 2000, "receipt": "r"}
    return Delivery(envelope=envelope, **{**given, **fields})


def plan(**fields: Any) -> Plan:
    """The defaults, but for ``fields``."""
    given = {
        "max_retries": 3,
        "retry_delay_ms": 5000,
        "timeout_ms": None,
        "overlap_delay_ms": 0,
        "status_ttl_s": None,
        "pause_on_error": False,
    }
    return Plan(**{**given, **fields})


def held_job(
    of: Delivery | None = None, *, queue: str = "default", lease_until: float = 1e12, **fields: Any
) -> HeldJob:
    """One that a worker holds."""
    return HeldJob(queue, of or delivery(), plan(**fields), lease_until)
