"""Send emails as jobs to a mail server that this program starts. Nothing leaves this machine, nothing stays on it.

python examples/emails/main.py
"""

import asyncio
import logging

from aiosmtpd.smtp import SMTP, Envelope, Session

from heracles import Queue, SqliteTransport, Worker
from jobs import SendEmail

RECIPIENTS = [f"user-{number}@example.com" for number in range(1, 6)]


class Mailbox:
    """Receives emails. Is busy at first, as mail servers are, so that some jobs have to be retried."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self._busy = 2

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - the library's name
        if self._busy:
            self._busy -= 1
            return "451 Try again later"
        self.received.extend(envelope.rcpt_tos)
        return "250 OK"


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # the mail server's: each of its connections
    mailbox = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()

    store = SqliteTransport(path=":memory:")
    emails = Queue.get("emails", transport=store)
    worker = Worker(id="mailer", transport=store)
    await worker.create_queue(name="emails", concurrency=3)
    async with server, worker:
        jobs = [SendEmail(to, "Welcome!", "Glad that you are here.", host, port) for to in RECIPIENTS]
        handles = await emails.dispatch_many(jobs)
        await asyncio.gather(*(handle.result(timeout=30) for handle in handles))

    print(f"{len(mailbox.received)} emails arrived: {', '.join(sorted(mailbox.received))}")


if __name__ == "__main__":
    asyncio.run(main())
