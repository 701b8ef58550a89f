"""Runs the Python blocks of one page, one after the other, in one namespace and on one event loop.

Started as a program. Reads a block a line from standard input and answers each with a line on the file descriptor
that its argument names; both are JSON. A bare ``await`` is allowed, as in ``python -m asyncio``.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import json
import os
import sys
import traceback
import types
from typing import Any


def run_block(source: str, place: str, line: int, namespace: dict[str, Any], runner: "asyncio.Runner") -> str:
    """What the block prints."""
    # Tracebacks name the page's own lines.
    padded = "\n" * (line - 1) + source
    code = compile(padded, place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        result = types.FunctionType(code, namespace)()
        if inspect.iscoroutine(result):
            runner.run(result)
    return out.getvalue()


def main() -> None:
    """Serve blocks until standard input ends."""
    sys.path.insert(0, os.getcwd())
    page = types.ModuleType("page")
    page.__file__ = "page.py"
    sys.modules["page"] = page
    with os.fdopen(int(sys.argv[1]), "w") as answers, asyncio.Runner() as runner:
        for request in sys.stdin:
            block = json.loads(request)
            answer: dict[str, Any]
            try:
                answer = {"output": run_block(block["source"], block["place"], block["line"], page.__dict__, runner)}
            except BaseException:  # noqa: BLE001 - whatever a block raises is the answer
                answer = {"error": traceback.format_exc()}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
