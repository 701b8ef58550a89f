"""A Django project that dispatches jobs through `queue.sync`, with a worker process beside it.

python examples/django_app/manage.py serve

curl -X POST localhost:8000/orders/1815/
curl localhost:8000/jobs/THE-ID/
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    execute_from_command_line(sys.argv)
