"""The fenced code blocks of a Markdown page, in order, and what is to be done with each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).parents[2]
#: Languages whose blocks are pictures or prose, not code.
PICTURES = frozenset({"text"})
_FILE_COMMENT = re.compile(r"(?:#|//) ([\w./-]+\.\w+)\n")
_DIRECTIVE = re.compile(r"<!-- (file|not run): (.+?) -->")


@dataclass(frozen=True)
class Block:
    """One fenced block. ``line`` is that of its first line of text in the page, counted from 1."""

    page: Path
    line: int
    language: str
    text: str
    file: str | None = None
    """Where the reader is told to write it: named by its first line, or by a comment in the page before it."""
    not_run: str | None = None
    """Why it is not run."""

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """All blocks but the pictures. ``<!-- file: NAME -->`` and ``<!-- not run: WHY -->`` are for the next block."""
    directive: dict[str, str] = {}
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            directive = dict(_DIRECTIVE.findall(token.content))
        elif token.type == "fence":
            language = token.info.partition(" ")[0]
            if language not in PICTURES and not language.startswith("{"):
                assert token.map is not None
                yield Block(
                    page=page,
                    line=token.map[0] + 2,
                    language=language,
                    text=token.content,
                    file=directive.get("file") or _named(token.content),
                    not_run=directive.get("not run"),
                )
            directive = {}


def _named(text: str) -> str | None:
    found = _FILE_COMMENT.match(text)
    return found[1] if found else None


def pages() -> list[Path]:
    """The README and every page of the docs."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
