"""The job of this example, as a function."""

from collections import Counter

from heracles import job


@job(queue="texts", timeout=10_000)
def count_words(text: str) -> dict[str, int]:
    """Count the words of a text."""
    return dict(Counter(text.lower().split()))
