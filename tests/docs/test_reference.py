"""The reference is whole and current."""

import importlib.util
import re
from types import ModuleType

import pytest

import heracles
from heracles.options import OPTIONS
from heracles.redis.keys import MANY_A_QUEUE, ONE_A_QUEUE
from tests.docs.blocks import REPOSITORY

REFERENCE = REPOSITORY / "docs" / "reference"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("options_table", REPOSITORY / "scripts" / "options_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_table_of_options_is_current(script: ModuleType) -> None:
    assert script.main(["--check"]) == 0


def test_check_notices_an_old_table(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    some = dict(list(OPTIONS.items())[1:])
    monkeypatch.setattr(script, "OPTIONS", some)
    assert script.main(["--check"]) == 1
    assert "run python scripts/options_table.py" in capsys.readouterr().err


def test_every_option_has_one_line() -> None:
    lines = (REFERENCE / "options.md").read_text().splitlines()
    named = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert named == list(OPTIONS)


def test_every_public_name_is_in_the_api_reference() -> None:
    page = (REFERENCE / "api.md").read_text()
    documented = set(re.findall(r"^\.\. auto\w+:: (?:heracles\.)?(\w+)$", page, re.MULTILINE))
    assert set(heracles.__all__) - documented <= {"__version__"}


def test_every_kind_of_key_is_in_the_architecture_page() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    missing = [kind for kind in (*ONE_A_QUEUE, *MANY_A_QUEUE) if f"`P:{kind}:Q" not in page]
    assert missing == []


def test_every_room_is_in_the_architecture_page() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    rooms = {path.stem for path in (REPOSITORY / "src" / "heracles").iterdir() if path.stem.isalpha()} - {"py"}
    assert [room for room in sorted(rooms) if f"| `{room}` |" not in page] == []
