"""What a run leaves behind: its result as JSON, or the text of its error."""

import math
import traceback
from collections.abc import Iterator
from typing import Any

import msgspec

from heracles.codec.signature import Source
from heracles.errors import JobRegistrationError, ResultError

#: Characters of an error's one line, and bytes of a traceback. Stores keep them for every failed job.
LONGEST_ERROR = 1000
LONGEST_TRACEBACK = 64 * 1024
_CUT = "\n[…]\n"

_encoder = msgspec.json.Encoder()
_plain = msgspec.json.Decoder()


def encode_result(value: Any, limit: int) -> bytes:
    """What a job returned, as JSON.

    Raises:
        ResultError: it cannot be encoded, or takes more than ``limit`` bytes.
    """
    try:
        encoded = _encoder.encode(value)
    except RecursionError:
        raise ResultError("the result cannot be encoded: it is nested too deeply, or contains itself") from None
    except Exception as exc:  # a value's own code may raise anything
        raise ResultError(f"the result cannot be encoded: {exc}") from exc
    if len(encoded) > limit:
        raise ResultError(f"the result takes {len(encoded)} bytes, over max_result_bytes={limit}")
    # JSON has no such numbers; the encoder writes null, and None would arrive in silence.
    if value is not None and b"null" in encoded and not all(map(math.isfinite, _floats(value))):
        raise ResultError("the result cannot be encoded: NaN and Infinity have no JSON form")
    return encoded


def _floats(value: Any) -> Iterator[float]:
    """The floats in a value, in whatever containers ``msgspec.to_builtins`` opens."""
    waiting = [msgspec.to_builtins(value)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, float):
            yield item
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)


class ResultSpec:
    """Decodes the results of one job by the return annotation of its code, where that can be decoded."""

    def __init__(self, source: Source) -> None:
        try:
            self._decoder = msgspec.json.Decoder(source.resolve("return", source.signature.return_annotation))
        except (TypeError, JobRegistrationError):
            self._decoder = _plain

    def decode(self, encoded: bytes) -> Any:
        """The result; as plain JSON values where it is not what the annotation says."""
        try:
            return self._decoder.decode(encoded)
        except Exception:  # noqa: BLE001 - whatever a class raises at its fields, the result is not lost for it
            return decode_plain(encoded)


def decode_plain(encoded: bytes) -> Any:
    """A result of a job that is not known here, as plain JSON values.

    Raises:
        ResultError: it is no JSON: another program has put it there.
    """
    try:
        return _plain.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ResultError(f"what is stored as the result is no JSON: {exc}") from None


def error_text(exc: BaseException) -> tuple[str, str]:
    """``Type: message`` on one line of 1000 characters at most, and the traceback of at most 64 KiB, as valid UTF-8."""
    line = type(exc).__name__
    if message := _message(exc):
        line = f"{line}: {message}"
    return _shorten(" ".join(line.split()), LONGEST_ERROR), _cut_middle(_traceback(exc))


def _message(exc: BaseException) -> str:
    try:
        return _valid(str(exc))
    except BaseException as broken:  # noqa: BLE001 - its own __str__ may raise anything, SystemExit included
        return f"<its text cannot be had: {type(broken).__name__}>"


def _traceback(exc: BaseException) -> str:
    try:
        return _valid("".join(traceback.format_exception(exc)))
    except BaseException as broken:  # noqa: BLE001 - as above, and it must not hide the job's own error
        frames = "".join(traceback.format_tb(exc.__traceback__))
        return _valid(f"{frames}{type(exc).__name__} <its text cannot be had: {type(broken).__name__}>\n")


def _valid(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _cut_middle(text: str) -> str:
    """Both ends: a traceback begins with where the job was entered and ends with the error."""
    encoded = text.encode()
    if len(encoded) <= LONGEST_TRACEBACK:
        return text
    half = (LONGEST_TRACEBACK - len(_CUT.encode())) // 2
    return encoded[:half].decode(errors="ignore") + _CUT + encoded[-half:].decode(errors="ignore")
