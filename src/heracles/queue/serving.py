"""On which stores a program uses its queues, and on which its own workers serve them: elsewhere jobs wait unseen."""

import logging

logger = logging.getLogger("heracles.queue")

#: By queue: the store on which this process dispatches, and the one on which a worker of it serves.
_used: dict[str, str] = {}
_served: dict[str, str] = {}


def used(queue: str, identity: str) -> None:
    """The program uses the queue on that store from now on."""
    _used[queue] = identity
    _compare(queue)


def used_no_more(queue: str) -> None:
    """The program has forgotten the queue."""
    _used.pop(queue, None)


def served(queue: str, identity: str) -> None:
    """A worker of this process serves the queue on that store from now on."""
    _served[queue] = identity
    _compare(queue)


def served_no_more(queue: str) -> None:
    """That worker has ended."""
    _served.pop(queue, None)


def _compare(queue: str) -> None:
    here, there = _used.get(queue), _served.get(queue)
    if here is not None and there is not None and here != there:
        logger.warning(
            "queue %s: this program uses it on %s, but its own worker serves it on %s and will not see its jobs: "
            "declare where the queue is, with Queue.get(%r, transport=...)",
            queue,
            here,
            there,
            queue,
        )
