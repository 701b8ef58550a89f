"""Configuration files of every kind: read, or one error that names file and cause."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heracles.cli.configuration import Configuration, read_configuration
from heracles.cli.main import main
from heracles.cli.parsing import parse
from heracles.cli.usage import UsageError
from heracles.errors import OptionError
from heracles.options import OPTIONS, Scope, options_of
from tests.input.conftest import refusal_of

KEYS = [option.config_key for option in options_of(Scope.WORK) if option.config_key]

#: Name, content, and a word of the reason.
BROKEN: list[tuple[str, bytes, str]] = [
    ("a.json", b"", "not valid JSON"),
    ("a.json", b" \n", "not valid JSON"),
    ("a.json", b"\xff\xfe{\x00}\x00", "not UTF-8"),
    ("a.json", bytes(range(256)), "not UTF-8"),
    ("a.json", b"\0\0\0", "not valid JSON"),
    ("a.json", b"[" * 100_000, "not valid JSON"),
    ("a.json", b'{"a":' * 100_000, "not valid JSON"),
    ("a.json", b'{"concurrency": ' + b"9" * 10_000 + b"}", "not valid JSON"),
    ("a.json", b'{"id": "a"} {"id": "b"}', "not valid JSON"),
    ("a.json", b'{"id": "a", "id": "b"}', "'id' twice"),
    ("a.json", b"[]", "one table of settings"),
    ("a.json", b"null", "one table of settings"),
    ("a.json", b'"id"', "one table of settings"),
    ("a.json", b'{"": 1}', "unknown key"),
    ("a.json", b'{"concurency": 1}', "did you mean concurrency?"),
    ("a.json", b'{"max_retries": 1}', "did you mean maxRetries?"),
    ("a.json", b'{"id": "\\ud800"}', "id="),
    ("a.json", b'{"id": null}', "id=None"),
    ("a.json", b'{"concurrency": "3"}', "concurrency='3'"),
    ("a.json", b'{"concurrency": NaN}', "concurrency=nan"),
    ("a.json", b'{"concurrency": 1e999}', "concurrency=inf"),
    ("a.json", b'{"pauseOnError": 1}', "pauseOnError=1"),
    ("a.json", b'{"queues": []}', "queues=[]"),
    ("a.json", b'{"queues": {}}', "queues={}"),
    ("a.json", b'{"queues": 7}', "queues=7"),
    ("a.json", b'{"queues": ["a", 7]}', "queue name 7"),
    ("a.json", b'{"queues": "a b"}', "queue name 'a b'"),
    ("a.json", b'{"queues": {"a*": {}}}', "queue name 'a*'"),
    ("a.json", b'{"queues": {"a": 7}}', "queues.a=7"),
    ("a.json", b'{"queues": {"a": {"id": "x"}}}', "unknown key queues.a.id"),
    ("a.json", b'{"queues": {"a": {"concurrency": 0}}}', "queues.a.concurrency=0"),
    ("a.toml", b"\xff", "not UTF-8"),
    ("a.toml", b"\0", "not valid TOML"),
    ("a.toml", b"id = ", "not valid TOML"),
    ("a.toml", b"id = 'a'\nid = 'b'", "not valid TOML"),
    ("a.toml", b"id = " + b"[" * 100_000, "not valid TOML"),
    ("a.toml", b"concurrency = " + b"9" * 10_000, "not valid TOML"),
    ("a.toml", b"concurrency = 0x" + b"f" * 10_000, "concurrency=<int>"),
    ("a.toml", b"queues = 0x" + b"f" * 10_000, "queues=<int>"),
    ("a.toml", b"queues.a = 0x" + b"f" * 10_000, "queues.a=<int>"),
    ("a.toml", b"concurrency = 1979-05-27", "concurrency=datetime.date"),
    ("a.toml", b"concurrency = nan", "concurrency=nan"),
    ("a.toml", b"[tool.heracles]\nid = 'a'", "unknown key tool"),
    ("a.yaml", b"id: a", "named .json or .toml"),
    ("a", b"{}", "named .json or .toml"),
]


@pytest.mark.parametrize(
    ("name", "content", "word"), BROKEN, ids=[f"{name}-{number}" for number, (name, *_) in enumerate(BROKEN)]
)
def test_what_cannot_be_used_is_one_line(
    name: str, content: bytes, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert main(["work", "--id=a", f"--config={path}"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.isprintable()
    assert len(line) < 1000
    assert str(path) in line
    assert word in line


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf{}", b"{}"])
def test_an_empty_table_with_or_without_a_mark(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert read_configuration(str(path)) == Configuration()


@pytest.mark.parametrize("value", [1.5, 2, 2.0, 1e3, 0.1])
@pytest.mark.parametrize("name", ["retry_delay", "max_retries", "concurrency", "lease", "shutdown_timeout"])
def test_a_number_means_the_same_in_a_file_on_the_command_line_and_in_code(
    name: str, value: float, tmp_path: Path
) -> None:
    """Times may have fractions, which are rounded up to whole milliseconds; counts may not."""
    option = OPTIONS[name]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({option.config_key: value}))

    def in_code() -> object:
        return option.check(value)

    def in_file() -> object:
        return read_configuration(str(path)).settings[name]

    def as_flag() -> object:
        return parse(["work", f"{option.flags[0]}={value}"]).given[name]

    if refusal_of(in_code, OptionError) is None:
        assert in_file() == as_flag() == in_code() == math.ceil(value)
    else:
        for refused in (in_file, as_flag):
            assert refusal_of(refused, UsageError) is not None


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"# nothing\r\n"])
def test_an_empty_toml_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    assert read_configuration(str(path)) == Configuration()


def test_a_folder_and_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.json").mkdir()
    for name in ("folder.json", "absent.json"):
        assert main(["work", "--id=a", f"--config={tmp_path / name}"]) == 2
        assert "cannot read" in capsys.readouterr().err


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=5,
)
_documents = _json | st.dictionaries(st.sampled_from([*KEYS, "queues", "x"]), _json, max_size=4)


def _read(path: Path) -> str | None:
    refusal = refusal_of(lambda: read_configuration(str(path)), UsageError)
    assert refusal is None or f"--config: {path}" in refusal
    return refusal


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(document=_documents)
def test_any_json(document: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    _read(path)


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    content=st.binary(max_size=60)
    | st.text("[]{},:=\"'0123456789.eExnaif#\\ \n", max_size=60).map(str.encode)
    | st.tuples(st.sampled_from(KEYS), st.binary(max_size=10)).map(lambda pair: pair[0].encode() + b" = " + pair[1])
)
def test_any_bytes(content: bytes, tmp_path: Path) -> None:
    for name in ("a.json", "a.toml"):
        path = tmp_path / name
        path.write_bytes(content)
        refusal = refusal_of(lambda: read_configuration(str(path)), UsageError)  # noqa: B023 - called at once
        assert refusal is None or "--config" in refusal
