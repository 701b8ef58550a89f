"""Envelopes, sessions and reports for the tests of this folder."""

import itertools
from typing import Any

from heracles.model import Delivery, Envelope, Report, ReportKind, Session
from heracles.units import new_id

_numbers = itertools.count(1)


def envelope(**given: Any) -> Envelope:
    unique = new_id()
    values: dict[str, Any] = {"job_id": f"job_{unique}", "dispatch_id": f"dispatch_{unique}", "name": "Job"}
    return Envelope(**(values | given))


def session(worker_id: str = "worker") -> Session:
    return Session(worker_id=worker_id, consumer=f"{worker_id}.{next(_numbers)}")


def report(delivery: Delivery, kind: ReportKind = ReportKind.COMPLETED, **given: Any) -> Report:
    return Report(
        job_id=delivery.envelope.job_id,
        dispatch_id=delivery.envelope.dispatch_id,
        token=delivery.token,
        kind=kind,
        receipt=delivery.receipt,
        **given,
    )
