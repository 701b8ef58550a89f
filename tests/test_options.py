"""How options check what they are given."""

from datetime import timedelta

import pytest

from heracles.errors import OptionError
from heracles.options import LONGEST_MS, OPTIONS


@pytest.mark.parametrize("name", ["delay", "timeout", "retry_delay", "overlap_delay", "status_ttl", "lease"])
@pytest.mark.parametrize("value", [timedelta.max, timedelta.min, float("nan"), float("inf"), True, "1", LONGEST_MS + 1])
def test_what_is_out_of_bounds_is_named(name: str, value: object) -> None:
    with pytest.raises(OptionError, match=f"^{name}="):
        OPTIONS[name].check(value)


@pytest.mark.parametrize(
    ("name", "value", "checked"),
    [
        ("delay", timedelta(microseconds=1), 1),
        ("delay", timedelta(seconds=2), 2000),
        ("delay", 1.5, 2),
        ("delay", LONGEST_MS, LONGEST_MS),
        ("status_ttl", timedelta(milliseconds=1), 1),
        ("status_ttl", timedelta(minutes=1), 60),
    ],
)
def test_times_become_whole_units_rounded_up(name: str, value: object, checked: int) -> None:
    assert OPTIONS[name].check(value) == checked
