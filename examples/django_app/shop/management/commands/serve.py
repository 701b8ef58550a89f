"""`manage.py serve`: the development server with a worker beside it."""

import os
import subprocess
import sys
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Serve the site on PORT (8000) with one worker."

    def handle(self, *args: Any, **options: Any) -> None:
        # In production the worker has a service of its own: see the deployment page.
        command = [sys.executable, "-m", "heracles", "work", f"--id=orders-{os.getpid()}", "--queues=orders"]
        # It finds the modules that this program finds.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen([*command, "--app=shop.jobs"], env=environment) as worker:
            try:
                call_command("runserver", os.environ.get("PORT", "8000"), use_reloader=False)
            finally:
                worker.terminate()
