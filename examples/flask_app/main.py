"""A Flask application that dispatches jobs through `queue.sync`, with a worker process beside it.

python examples/flask_app/main.py

curl -X POST localhost:5000/reports/2026/11
curl localhost:5000/reports/THE-ID
"""

import os
import subprocess
import sys

from flask import Flask, abort

from heracles import Queue
from jobs import BuildReport

app = Flask(__name__)
# Every method of a queue without await, for any thread.
reports = Queue.get("reports").sync


@app.post("/reports/<int:year>/<int:month>")
def build(year: int, month: int) -> tuple[dict[str, str], int]:
    """Dispatch a job and answer at once."""
    handle = reports.dispatch(BuildReport(year, month))
    return {"id": handle.dispatch_id}, 202


@app.get("/reports/<dispatch_id>")
def show(dispatch_id: str) -> dict[str, str | None]:
    """How the job stands, and its result once it has one."""
    info = reports.get_job(dispatch_id)
    if info is None:
        abort(404)
    return {"status": info.status, "result": info.result, "error": info.error}


def main() -> None:
    # In production the worker has a service of its own: see the deployment page.
    command = [sys.executable, "-m", "heracles", "work", f"--id=reports-{os.getpid()}", "--queues=reports"]
    # It finds the modules that this program finds.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([*command, "--app=jobs"], env=environment) as worker:
        try:
            app.run(port=int(os.environ.get("PORT", "5000")))
        finally:
            worker.terminate()


if __name__ == "__main__":
    main()
