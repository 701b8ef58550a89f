"""A process that is a worker and nothing else."""

import subprocess
import sys

SCRIPT = """
import gc
from heracles.worker.process import serve

async def main():
    print(len(gc.get_objects()) < gc.get_freeze_count() / 10)
    return False

serve(main())
"""


def test_the_garbage_collector_passes_by_what_imports_have_made() -> None:
    output = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True, text=True, timeout=60)

    assert output.stdout == "True\n", output.stderr
