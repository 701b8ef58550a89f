"""What a server's refusal means: the error of this package, with the way out. No redis type gets past here."""

import re

from heracles.errors import TransportError, TransportUnavailableError

#: It passes: the same call may go through later.
_PASSING = (
    "LOADING", "BUSY", "READONLY", "TRYAGAIN", "ASK", "MOVED", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED",
    "BUSYKEY",
)  # fmt: skip
_WAYS_OUT = {
    "OOM": "Redis is out of memory (maxmemory): raise maxmemory, or let workers catch up",
    "NOAUTH": "Redis asks for a password: give one in the connection's URL or password=",
    "WRONGPASS": "Redis refuses the user or password of this connection: correct them",
    "NOPERM": "this Redis user may not do that: give it the permissions that the page on security in the docs lists",
    "WRONGTYPE": "a key under this prefix holds something else: remove it, or choose another key_prefix",
    "MISCONF": "Redis cannot save to disk and takes no writes: see its log",
    "CROSSSLOT": "this is a Redis Cluster: register the connection with cluster=True",
    "NOPROTO": "this server does not speak Redis' protocol as it should",
}
_CODE = re.compile(r"\b(" + "|".join((*_PASSING, *_WAYS_OUT)) + r")\b")
#: What a script is answered whose user lacks a permission: up to 7.0, and since.
_DENIED = ("can't run this command", "ACL failure")
_AUTH = re.compile(r"AUTH <password> called without|invalid password|without any password configured", re.IGNORECASE)


class Refusal(Exception):  # noqa: N818 - an answer, not an error of this package
    """An error that a server answered."""

    @property
    def code(self) -> str:
        """The word that says what it is."""
        found = _CODE.search(str(self)[:200])
        return found[1] if found else str(self).partition(" ")[0]


def is_wrong_type(error: TransportError) -> bool:
    """Whether a key holds something else than it should."""
    cause = error.__cause__
    return isinstance(cause, Refusal) and cause.code == "WRONGTYPE"


def translate(refusal: Refusal, where: str, key: str = "") -> TransportError:
    """The error to raise for it. ``where`` names the connection, ``key`` what the command was for."""
    code, text = refusal.code, str(refusal)
    if code in _PASSING:
        return TransportUnavailableError(f"{where} cannot serve now: {text}")
    if _AUTH.search(text):
        code = "WRONGPASS"
    elif any(denied in text for denied in _DENIED):
        code = "NOPERM"
    way_out = _WAYS_OUT.get(code)
    if code == "WRONGTYPE" and key:
        text = f"{key}: {text}"
    return TransportError(f"{where}: {way_out} ({text})" if way_out else f"{where} refused: {text}")
