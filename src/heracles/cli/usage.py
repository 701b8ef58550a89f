"""What goes wrong before any work is done: one line on standard error, with the way out."""

import re
import sys

#: C0 and C1 controls, the line and paragraph separators, the marks that turn the direction of text, lone surrogates.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
#: What to do about a job that is not where it was looked for.
OTHER_PLACE = "give --queue and an id that heracles jobs shows"


class UsageError(Exception):
    """The command cannot be run as it was given; the message is the whole of what the user sees. Exit code 2."""


class StartError(Exception):
    """The command was understood but could not do its work; the message is what the user sees. Exit code 1."""


def warn(text: str) -> None:
    """One line on standard error, beside what the command prints."""
    print(escaped(f"heracles: {text}"), file=sys.stderr)


def escaped(text: str) -> str:
    """The text on one line, without any character that could move a terminal's cursor or forge another line."""
    return _UNPRINTABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    return _SHORT.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
