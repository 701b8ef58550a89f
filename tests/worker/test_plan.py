"""Which settings win."""

from typing import Any

import msgspec
import pytest

from heracles.model import Envelope
from heracles.worker.plan import QueueSettings

BARE = Envelope(job_id="j", dispatch_id="d", name="Some")
CREATED, FILE, GET = {"max_retries": 6}, {"max_retries": 7, "retry_delay": 70}, {"max_retries": 8, "concurrency": 9}


def test_defaults() -> None:
    settings = QueueSettings([{}])
    assert (settings.concurrency, settings.pause_on_error) == (1, False)
    plan = settings.plan(BARE, {})
    assert (plan.max_retries, plan.retry_delay_ms, plan.timeout_ms, plan.overlap_delay_ms) == (3, 5000, None, 0)
    assert plan.status_ttl_s is None


@pytest.mark.parametrize(
    ("dispatch", "job", "layers", "expected"),
    [
        (5, {"max_retries": 4}, [CREATED, FILE, GET], 5),
        (0, {"max_retries": 4}, [CREATED, FILE, GET], 0),
        (None, {"max_retries": 4}, [CREATED, FILE, GET], 4),
        (None, {}, [CREATED, FILE, GET], 6),
        (None, {}, [{}, FILE, GET], 7),
        (None, {}, [{}, {}, GET], 8),
        (None, {}, [{}, {}, {}], 3),
    ],
)
def test_precedence(dispatch: int | None, job: dict[str, Any], layers: list[dict[str, Any]], expected: int) -> None:
    envelope = msgspec.structs.replace(BARE, max_retries=dispatch)
    assert QueueSettings(layers).plan(envelope, job).max_retries == expected


def test_each_setting_comes_from_the_first_layer_that_has_it() -> None:
    settings = QueueSettings([CREATED, FILE, GET])
    plan = settings.plan(BARE, {"timeout": 11, "status_ttl": 12, "overlap_delay": 13})
    assert (plan.max_retries, plan.retry_delay_ms, settings.concurrency) == (6, 70, 9)
    assert (plan.timeout_ms, plan.status_ttl_s, plan.overlap_delay_ms) == (11, 12, 13)


def test_dispatch_options_win() -> None:
    envelope = msgspec.structs.replace(BARE, timeout_ms=1, status_ttl_s=2, overlap_delay_ms=3, retry_delay_ms=4)
    plan = QueueSettings([]).plan(envelope, {"timeout": 11, "status_ttl": 12, "overlap_delay": 13, "retry_delay": 14})
    assert (plan.timeout_ms, plan.status_ttl_s, plan.overlap_delay_ms, plan.retry_delay_ms) == (1, 2, 3, 4)
