"""The audit of locked packages: what it finds fails the check, and a network that is not there does not."""

import importlib.util
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.servers import free_port

REPOSITORY = Path(__file__).parents[2]
LOCKED = """\
redis[hiredis]==4.5.0 ; python_version > '3' \\
    --hash=sha256:00
msgspec==0.19.0 \\
    --hash=sha256:01
    # via heracles-jobs==1.0
"""
Answer = Callable[[Any], bytes]


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", REPOSITORY / "scripts" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def requirements(tmp_path: Path) -> str:
    path = tmp_path / "locked.txt"
    path.write_text(LOCKED)
    return str(path)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], None]]:
    """Makes a database that answers as the function says, and the audit ask it."""
    servers: list[HTTPServer] = []

    def start(answer: Answer) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer(question))

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing on the terminal."""

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        monkeypatch.setenv("HERACLES_AUDIT_URL", f"http://127.0.0.1:{servers[-1].server_port}/")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def redis_is_vulnerable(question: Any) -> bytes:
    results = [
        {"vulns": [{"id": "GHSA-1"}, {"id": "GHSA-2"}]} if query["package"]["name"] == "redis" else {}
        for query in question["queries"]
    ]
    return json.dumps({"results": results}).encode()


def test_what_is_locked_is_asked_about(audit: ModuleType) -> None:
    assert audit.locked([LOCKED, LOCKED]) == [("msgspec", "0.19.0"), ("redis", "4.5.0")]
    texts = [path.read_text() for path in (REPOSITORY / "requirements").glob("*.txt")]
    assert {"redis", "msgspec", "hiredis", "pytest"} <= {name for name, _ in audit.locked(texts)}


@pytest.mark.parametrize("name", ["base.txt", "dev.txt"])
def test_whatever_is_installed_is_known_by_its_hash(name: str) -> None:
    text = (REPOSITORY / "requirements" / name).read_text()
    blocks = [
        block for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE) if "==" in block.partition("\n")[0]
    ]
    assert len(blocks) > 10
    assert [block for block in blocks if "--hash=sha256:" not in block] == []


def test_a_vulnerability_fails_the_check(
    audit: ModuleType, serve: Any, requirements: str, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(redis_is_vulnerable)
    assert audit.main([requirements]) == 1
    assert "redis 4.5.0 has known vulnerabilities: GHSA-1, GHSA-2" in capsys.readouterr().out


def test_an_accepted_one_does_not(
    audit: ModuleType,
    serve: Any,
    requirements: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(audit, "ACCEPTED", {"GHSA-1": "not used", "GHSA-2": "not used"})
    serve(redis_is_vulnerable)
    assert audit.main([requirements]) == 0
    assert capsys.readouterr().out == "audit: no known vulnerability in 2 locked packages\n"


def check_says_so_in_one_line(audit: ModuleType, requirements: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main([requirements]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("audit: 2 locked packages NOT checked, the vulnerability database is out of reach: ")


def test_a_machine_without_a_network_says_so(
    audit: ModuleType, requirements: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HERACLES_AUDIT_URL", f"http://127.0.0.1:{free_port()}/")
    check_says_so_in_one_line(audit, requirements, capsys)


@pytest.mark.parametrize("answer", [b"<html>log in first</html>", b'{"results": []}', b"[]", b""])
def test_a_page_in_between_is_no_clean_answer(
    audit: ModuleType, serve: Any, requirements: str, capsys: pytest.CaptureFixture[str], answer: bytes
) -> None:
    serve(lambda _: answer)
    check_says_so_in_one_line(audit, requirements, capsys)


def test_a_database_that_does_not_answer_is_not_waited_for(
    audit: ModuleType,
    serve: Any,
    requirements: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(audit, "LONGEST_S", 0.2)
    serve(lambda _: b"{}" if is_over.wait(10) else b"")
    check_says_so_in_one_line(audit, requirements, capsys)
    is_over.set()
