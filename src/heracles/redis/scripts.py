"""The Lua scripts: one file a verb, behind the fragments that it needs."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

#: How many arguments all scripts have in common: see state.lua.
COMMON_ARGUMENTS = 7
#: The most items that one call may touch, so that Redis answers others within a few milliseconds.
MOST_ITEMS = 250


class Fragments(NamedTuple):
    """What stands in front of a verb, in this order. Behind ``state``, in a function of its own."""

    first: Sequence[str] = ("core", "jobs", "places")
    #: Inside a function ``law`` that answers with them by name: a script runs from its first line at each call, and
    #: most calls get by without these, whose many functions would have to be made each time.
    law: Sequence[str] = ()

    @property
    def names(self) -> Sequence[str]:
        """All of them."""
        return (*self.first, *self.law)


USUAL = Fragments()
#: What is called for every job.
FREQUENT = {
    "enqueue": Fragments(("core",), ("jobs", "places")),
    "exchange": Fragments(("core", "plain"), ("jobs", "places", "reports", "reclaiming", "starting")),
}
#: What has nothing to do with a queue.
WITHOUT_FRAGMENTS = frozenset({"insist"})
_LAW = """
function law()
  if made_law then
    return made_law
  end
{body}
  made_law = {{ {members} }}
  return made_law
end
"""


class Script(NamedTuple):
    """A script as the server knows it."""

    name: str
    text: str
    sha: str


def source(name: str) -> str:
    """The text of one file."""
    return Path(__file__).with_name("lua").joinpath(f"{name}.lua").read_text(encoding="utf-8")


def fragments_of(name: str) -> Fragments:
    """What a verb needs."""
    return Fragments((), ()) if name in WITHOUT_FRAGMENTS else FREQUENT.get(name, USUAL)


@cache
def script(name: str) -> Script:
    """The script of a verb."""
    fragments = fragments_of(name)
    parts = ["local law, made_law", *map(source, fragments.first)]
    if fragments.law:
        members = ", ".join(f"{part} = {part}" for part in fragments.law)
        parts.append(_LAW.format(body="\n".join(map(source, fragments.law)), members=members))
    parts.append(source(name))
    if fragments.first:
        parts = [source("state"), "local function body()", *parts, "end", "return body()"]
    text = "\n".join(parts)
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
