"""Where Redis does not let a worker wait for jobs, it looks for them."""

import logging

import pytest

from heracles.model import JobStatus
from tests.redis.conftest import MakePrivate
from tests.stores import SINGLE_REDIS
from tests.worker.jobs import BOARD
from tests.worker.site import Site


@pytest.mark.parametrize("kind", SINGLE_REDIS)
async def test_a_worker_that_may_not_wait_looks_for_jobs_and_says_so_once(
    make_private: MakePrivate, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    private = make_private(kind=kind, connection={"username": "worker", "password": "secret"})
    private.server.command("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all", "-blpop")
    transport = private.transport(poll_interval=100)
    site = Site(transport, private.transport)
    BOARD.clear()
    await site.worker()
    try:
        for number in range(3):
            assert (await site.run("Note", number)).status is JobStatus.COMPLETED
        assert not transport.waits_for_jobs
        told = [
            record.getMessage()
            for record in caplog.records
            if record.name == "heracles.redis" and record.levelno == logging.WARNING
        ]
        assert [line for line in told if "found by looking" in line and "queue jobs" in line and "blpop" in line]
        # The part that waits for the tokens of several queues tells of it too.
        assert len(told) <= 2
        # No busy loop.
        before = int(private.server.info("stats")["total_commands_processed"])
        await site.run("Note", "last")
        assert int(private.server.info("stats")["total_commands_processed"]) - before < 300
    finally:
        await site.close()
