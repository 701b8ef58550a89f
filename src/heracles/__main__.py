"""``python -m heracles``, and the entry point of the ``heracles`` script."""

import sys

from heracles.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
