"""A clean slate: no variable names a store, and no transport is shared with another test."""

from pathlib import Path

import pytest

from heracles import wiring


@pytest.fixture(autouse=True)
def clean_slate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("HERACLES_URL", "HERACLES_REDIS_URL", "REDIS_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wiring, "_transports", wiring._Transports())
