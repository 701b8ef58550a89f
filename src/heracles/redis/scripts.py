"""The Lua scripts: one file a verb, behind the fragments that all share."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

#: In front of every script of a queue, in this order.
FRAGMENTS = ("core", "places")
#: How many arguments all scripts have in common: see core.lua.
COMMON_ARGUMENTS = 7
#: The most items that one call may touch, so that Redis answers others within a few milliseconds.
MOST_ITEMS = 250


class Script(NamedTuple):
    """A script as the server knows it."""

    name: str
    text: str
    sha: str


def source(name: str) -> str:
    """The text of one file."""
    return files("heracles.redis").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


#: What a large script is made of besides.
FURTHER_FRAGMENTS = {"exchange": ("reports", "reclaiming", "starting")}
#: What has nothing to do with a queue.
WITHOUT_FRAGMENTS = frozenset({"insist"})


@cache
def script(name: str) -> Script:
    """The script of a verb."""
    parts = (name,) if name in WITHOUT_FRAGMENTS else (*FRAGMENTS, *FURTHER_FRAGMENTS.get(name, ()), name)
    text = "\n".join(map(source, parts))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
