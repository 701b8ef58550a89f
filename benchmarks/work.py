"""The worker process: ``python -m benchmarks.work SYSTEM`` becomes a worker of that system."""

import sys

from benchmarks.role import Role
from benchmarks.systems import adapter


def main() -> None:
    """Become the worker; returns when it stops."""
    adapter(sys.argv[1]).work(Role.current())


if __name__ == "__main__":
    main()
