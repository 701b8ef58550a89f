"""How options check what they are given."""

from datetime import timedelta
from typing import get_args, get_type_hints

import pytest

from heracles.errors import OptionError
from heracles.options import LONGEST_MS, OPTIONS, Scope, Unit
from heracles.transport_options import RedisOptions, TransportOptions


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


@pytest.mark.parametrize(("known", "scope"), [(RedisOptions, Scope.REDIS), (TransportOptions, Scope.SQLITE)])
def test_type_checkers_know_the_options_of_each_transport(known: type, scope: Scope) -> None:
    hints = get_type_hints(known)
    wanted = {name: option for name, option in OPTIONS.items() if scope in option.scopes and name != "path"}
    assert set(hints) == set(wanted)
    for name, option in wanted.items():
        match option.unit:
            case Unit.MS | Unit.SECONDS:
                assert hints[name] == float | timedelta
            case Unit.CHOICE:
                assert set(get_args(hints[name])) == set(option.choices)
            case unit:
                assert hints[name] is {Unit.FLAG: bool, Unit.TEXT: str}.get(unit, int)
