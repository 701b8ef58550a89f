"""The job of this example: one email, sent through an SMTP server."""

import smtplib
from email.message import EmailMessage

from heracles import Job


@Job.register(queue="emails", max_retries=5, retry_delay=200, timeout=30_000)
class SendEmail(Job):
    """Send one email."""

    def __init__(self, to: str, subject: str, body: str, host: str, port: int) -> None:
        self.to, self.subject, self.body = to, subject, body
        self.host, self.port = host, port

    # smtplib blocks, so this is a plain def, and runs on a thread.
    def execute(self) -> str:
        message = EmailMessage()
        # The same in every run of this dispatch: a receiver can tell a second copy from a second email.
        message["Message-ID"] = f"<{self.dispatch_id}@example.com>"
        message["From"], message["To"], message["Subject"] = "jobs@example.com", self.to, self.subject
        message.set_content(self.body)
        with smtplib.SMTP(self.host, self.port, timeout=10) as server:
            server.send_message(message)
        self.success(f"sent to {self.to} after {self.retries} retries")
        return self.to
