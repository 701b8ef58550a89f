"""Every code block of the README and the docs does what the page says."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.blocks import REPOSITORY, Block, blocks_of, pages
from tests.docs.session import REDIS, Reader
from tests.servers import Server, redis_7


@pytest.fixture(scope="session")
def redis_address() -> Iterator[Callable[[], str]]:
    """Starts the server that the pages share when the first of them asks for it."""
    started: list[Server] = []

    @cache
    def address() -> str:
        started.append(Server(redis_7()).start())
        return f"127.0.0.1:{started[0].port}"

    yield address
    for server in started:
        server.stop()


def _named(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.mark.parametrize("page", [page for page in pages() if any(blocks_of(page))], ids=_named)
def test_page_is_true(page: Path, tmp_path: Path, redis_address: Callable[[], str]) -> None:
    blocks = list(blocks_of(page))
    needs_redis = any(REDIS in block.text or "redis-cli" in block.text for block in blocks)
    with Reader(tmp_path, redis_address() if needs_redis else None) as reader:
        for block in blocks:
            reader.do(block)


@pytest.mark.parametrize("page", pages(), ids=_named)
def test_blocks_name_their_language(page: Path) -> None:
    assert [block.place for block in blocks_of(page) if not block.language] == []


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    not_run: list[Block] = [block for page in pages() for block in blocks_of(page) if block.not_run]
    assert all(len(block.not_run or "") > 10 for block in not_run)


@pytest.mark.parametrize("page", [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"], ids=_named)
def test_links_lead_somewhere(page: Path) -> None:
    # Those between pages of the docs are checked when the site is built.
    targets = re.findall(r"\]\(([^)#:]+)", page.read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (page.parent / target).exists()] == []
