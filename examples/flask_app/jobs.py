"""The job of this example."""

from heracles import Job


@Job.register(queue="reports", max_retries=3)
class BuildReport(Job):
    """Build the report of a month."""

    def __init__(self, year: int, month: int) -> None:
        self.year, self.month = year, month

    def execute(self) -> str:
        return f"report of {self.year}-{self.month:02}"
