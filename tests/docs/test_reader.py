"""The reader of the docs notices what is not true."""

import re
from pathlib import Path

import pytest

from tests.docs.blocks import REPOSITORY, Block, blocks_of
from tests.docs.session import Reader, pattern_of, typed_in


def block(language: str, text: str, **more: str) -> Block:
    return Block(page=REPOSITORY / "README.md", line=1, language=language, text=text, **more)


def read(directory: Path, *blocks: Block) -> None:
    with Reader(directory) as reader:
        for one in blocks:
            reader.do(one)


def test_true_page_passes(tmp_path: Path) -> None:
    read(
        tmp_path,
        block("python", "# greet.py\nWORD = 'hello'\n", file="greet.py"),
        block("python", "import asyncio\nfrom greet import WORD\nawait asyncio.sleep(0)\nprint(WORD, 12)\n"),
        block("output", "hello …\n"),
        block(
            "console", "$ python -c 'import greet; print(greet.WORD)'\nhello\n$ export WORD=bye\n$ echo $WORD\nbye\n"
        ),
    )


@pytest.mark.parametrize(
    "blocks",
    [
        [block("python", "print(1)\n"), block("output", "2\n")],
        [block("python", "raise ValueError('no')\n")],
        [block("python", "import warnings\nwarnings.warn('old')\n")],
        [block("console", "$ echo 1\n2\n")],
        [block("console", "$ false\n")],
        [block("json", "{}\n")],
        [block("console", "$ redis-server --version localhost:6379\n")],
    ],
    ids=["output", "raises", "warns", "command prints", "command fails", "no file", "no server"],
)
def test_false_page_fails(blocks: list[Block], tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        read(tmp_path, *blocks)


def test_block_that_is_not_run(tmp_path: Path) -> None:
    read(tmp_path, block("console", "$ false\n", not_run="it would fail"))


def test_pattern() -> None:
    assert re.fullmatch(pattern_of("a … c\n"), "a b c\n")
    assert re.fullmatch(pattern_of("a\n…\nd\n"), "a\nb\nc\nd\n")
    assert re.fullmatch(pattern_of("a\n…\nd\n"), "a\nd\n")
    assert not re.fullmatch(pattern_of("a.c\n"), "abc\n")
    assert not re.fullmatch(pattern_of("a\n"), "a\nb\n")


def test_typed_commands() -> None:
    text = "$ one \\\n> two\nshown\n$ three\n^C\n"
    assert typed_in(text) == [("one two", "shown\n"), ("three", ""), ("^C", "")]


def test_blocks_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```text\npicture\n```\n\n```{toctree}\nx\n```\n\n<!-- file: a/b.json -->\n```json\n{}\n```\n\n"
        "```python\n# name.py\n```\n\n<!-- not run: it sends mail -->\n```console\n$ x\n```\n\n```console\n$ y\n```\n"
    )
    found = [(block.language, block.file, block.not_run, block.line) for block in blocks_of(page)]
    assert found == [
        ("json", "a/b.json", None, 11),
        ("python", "name.py", None, 15),
        ("console", None, "it sends mail", 20),
        ("console", None, None, 24),
    ]
