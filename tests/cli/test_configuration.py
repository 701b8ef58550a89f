"""The configuration file: every key, and every error named."""

from pathlib import Path

import pytest

from heracles.cli.configuration import read_configuration
from tests.cli.process import run

EVERY_KEY = {
    "id": '"worker-email-prod-1"',
    "redis": '"default"',
    "concurrency": "3",
    "maxRetries": "5",
    "retryDelay": "10000",
    "pauseOnError": "false",
    "keyPrefix": '"myapp:jobs"',
    "app": '"myapp.jobs"',
    "processes": "2",
    "lease": "20000",
    "shutdownTimeout": "5000",
    "waitForStore": "true",
    "logFormat": '"json"',
    "logLevel": '"debug"',
    "url": '"sqlite:///a.db"',
}
READ = {
    "id": "worker-email-prod-1",
    "connection": "default",
    "concurrency": 3,
    "max_retries": 5,
    "retry_delay": 10000,
    "pause_on_error": False,
    "key_prefix": "myapp:jobs",
    "app": "myapp.jobs",
    "processes": 2,
    "lease": 20000,
    "shutdown_timeout": 5000,
    "wait_for_store": True,
    "log_format": "json",
    "log_level": "debug",
    "url": "sqlite:///a.db",
}


def test_every_key_in_json_and_toml(tmp_path: Path) -> None:
    toml, json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text("".join(f"{key} = {value}\n" for key, value in EVERY_KEY.items()))
    json.write_text("{" + ", ".join(f'"{key}": {value}' for key, value in EVERY_KEY.items()) + "}")
    assert read_configuration(str(toml)).settings == READ
    assert read_configuration(str(json)).settings == READ


def test_queues_as_a_table_of_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('\ufeff{"queues": {"emails": {"concurrency": 4, "pauseOnError": true}, "reports": {}}}')
    assert read_configuration(str(path)).queues == {"emails": {"concurrency": 4, "pause_on_error": True}, "reports": {}}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", '{"idd": "a"}', "unknown key idd: did you mean id?"),
        ("a.json", '{"max_retries": 1}', "unknown key max_retries: did you mean maxRetries?"),
        ("a.json", '{"frobnicate": 1}', "unknown key frobnicate: it takes"),
        ("a.json", '{"id": 7}', "id=7 is not allowed"),
        ("a.json", '{"maxRetries": "5"}', "maxRetries='5' is not allowed: give a whole number"),
        ("a.json", '{"maxRetries": true}', "maxRetries=True is not allowed"),
        ("a.json", '{"retryDelay": null}', "retryDelay=None is not allowed"),
        ("a.json", '{"retryDelay": NaN}', "retryDelay=nan is not allowed"),
        ("a.json", '{"pauseOnError": 1}', "pauseOnError=1 is not allowed: give true or false"),
        ("a.json", '{"concurrency": [1]}', "concurrency=[1] is not allowed"),
        ("a.json", '{"logFormat": ["text"]}', "logFormat=['text'] is not allowed"),
        ("a.json", '{"id": "a", "id": "b"}', "it has the key 'id' twice"),
        ("a.json", '{"id": ', "is not valid JSON"),
        ("a.json", "[" * 100_000, "is not valid JSON"),
        ("a.json", '["id"]', "has to be one table of settings"),
        ("a.toml", "id = ", "is not valid TOML"),
        ("a.toml", "id = 1979-05-27", "id=datetime.date(1979, 5, 27) is not allowed"),
        ("a.yaml", "id: a", "give a file named .json or .toml"),
        ("a.json", '{"queues": 3}', "queues=3 is not allowed: give names"),
        ("a.json", '{"queues": []}', "queues=[] is not allowed"),
        ("a.json", '{"queues": {}}', "queues={} is not allowed"),
        ("a.json", '{"queues": ""}', "queues='' is not allowed: give names"),
        ("a.json", '{"queues": "a,"}', "a.json: queues: queue name '' is not allowed"),
        ("a.json", '{"queues": {"a b": {}}}', "a.json: queues: queue name 'a b' is not allowed"),
        ("a.json", '{"queues": ["a b"]}', "a.json: queues: queue name 'a b' is not allowed"),
        ("a.json", '{"queues": [3]}', "a.json: queues: queue name 3 is not allowed"),
        ("a.json", '{"queues": {"a": 3}}', "queues.a=3 is not allowed: give a table of"),
        ("a.json", '{"queues": {"a": {"concurency": 3}}}', "queues.a.concurency: did you mean concurrency?"),
        ("a.json", '{"queues": {"a": {"id": "x"}}}', "unknown key queues.a.id"),
        ("a.json", '{"queues": {"a": {"concurrency": 0}}}', "queues.a.concurrency=0 is not allowed"),
    ],
)
def test_what_is_wrong_is_named(name: str, text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    ended = run("work", f"--config={name}", cwd=tmp_path)
    assert ended.code == 2
    assert says in ended.error
    assert name in ended.error


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "latin.toml").write_bytes('id = "\xe9"'.encode("latin-1"))
    for name, says in {"no.json": "No such file", "folder.json": "Is a directory", "latin.toml": "not UTF-8"}.items():
        ended = run("work", f"--config={name}", cwd=tmp_path)
        assert ended.code == 2
        assert says in ended.error
