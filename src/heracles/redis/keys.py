"""The data model in Redis, and the one place where names of keys are made.

``P`` is the key prefix, ``Q`` the queue (in braces in a cluster, so that all keys of a queue share a slot), ``ref`` a
dispatch: ``dispatchId:jobId``, so that equal scores sort by dispatch. Times are epoch milliseconds by Redis' clock.

One job
    P:status:Q:jobId:dispatchId   hash: the record. ``messageId`` while it has a stream entry, ``priority`` when not 10,
                                  ``overlap`` when NO_OVERLAP, ``token``, ``deliveries`` (a first run has none),
                                  ``session`` (the consumer that runs it; a first run has it only where that has another
                                  name in the stream), ``lost`` (the token reclaimed last), ``due``, ``unknownSince``,
                                  ``overlapDelay``, ``adopted`` (another program's entry), ``order`` (of those due at
                                  one time), ``indexed`` (in an index), and what the docs list.
                                  Its time to live starts when the job has ended.
    P:payload:Q:jobId:dispatchId  string: fields of the entry of a job that stands outside the streams, or of one that
                                  has FAILED or was CANCELLED (with the record's time to live)
    P:result:Q:jobId:dispatchId   string: a result or traceback over 64 bytes

Where an unfinished job stands: in exactly one of these
    P:stream:Q, P:stream:Q:p<n>   streams: an entry for each ready or running job, and finished ones until trimmed
    P:scheduled:Q                 sorted set ref -> due: dispatched for later
    P:delayed:Q                   sorted set ref -> due: retries, and whatever else waits for a while
    P:waiting:Q                   sorted set ref -> since when: NO_OVERLAP, behind another of its job id
    P:leases:Q                    sorted set ref -> end of its lease: all whose code may run (beside their entry)
    P:returned:Q                  sorted set of positions: entries read but to be started first, given back or adopted
    P:foreign:Q                   sorted set of positions -> until when their reader has to adopt them

NO_OVERLAP
    P:overlap:Q:jobId             list of refs in the order of becoming ready; only its head is in a stream or runs
    P:lock:Q:jobId                string: the dispatch that runs; expires with its lease
    P:cool:Q:jobId                string: until when the next has to wait after a run

Indexes of ids that are not generated as a pair (``job_X``, ``dispatch_X`` name each other)
    P:dispatch:Q:dispatchId       string: its job id
    P:jobs:Q:jobId                sorted set of dispatch ids by age: unfinished ones and the latest
    P:cancelled:Q:dispatchId      string: cancelled by another program before its entry was read

A queue
    P:meta:Q                      hash: paused, draining, seq and epoch of the changes, counts by status
    P:priorities:Q                sorted set of the priorities that have a stream
    P:ended:Q:p<n>                list ``messageId:when`` of finished entries still in the stream, oldest first
    P:finished:Q:<status>         list of refs, newest first, at most 1000
    P:events:Q                    stream of changes; the id is the number of an entry's last change
    P:wake:Q                      list: a token while an idle worker should look
    P:nudge:Q:consumer            list: ends that consumer's own wait
    P:queue:Q:control             channel: cancellations

The store, with no queue in their name
    P:queues                      set of queue names
    P:workers                     sorted set of worker ids -> last heartbeat
    P:worker:workerId             hash: a live worker
"""

from collections.abc import Iterable

#: Kinds of which a queue has one key.
ONE_A_QUEUE = (
    "meta", "stream", "scheduled", "delayed", "waiting", "leases", "returned", "foreign", "priorities", "events",
    "wake",
)  # fmt: skip
#: Kinds of which a queue has a key for each job, dispatch, status or priority.
MANY_A_QUEUE = (
    "status", "payload", "result", "overlap", "lock", "cool", "dispatch", "jobs", "cancelled", "ended", "finished",
    "nudge", "queue",
)  # fmt: skip
PRIORITIES = range(101)
DEFAULT_PRIORITY = 10
#: In front of a job's name in an entry.
NAME_PREFIX = "elysium.heracles.job."


class Keys:
    """Names of keys under one prefix."""

    def __init__(self, prefix: str, *, in_cluster: bool) -> None:
        self.prefix = prefix
        self._braces = ("{", "}") if in_cluster else ("", "")

    def tag(self, queue: str) -> str:
        """The queue as it stands in names of keys."""
        return queue.join(self._braces)

    def of(self, kind: str, queue: str, *rest: str) -> str:
        """A key of a queue."""
        return ":".join((self.prefix, kind, self.tag(queue), *rest))

    def stream(self, queue: str, priority: int) -> str:
        """The stream of a priority."""
        return self.of("stream", queue, *([] if priority == DEFAULT_PRIORITY else [f"p{priority}"]))

    def absent(self, queue: str) -> str:
        """A key that never exists, for scripts."""
        return self.of("absent", queue)

    def control(self, queue: str) -> str:
        """The channel of a queue's cancellations."""
        return self.of("queue", queue, "control")

    def worker(self, worker_id: str) -> str:
        """The record of a live worker."""
        return f"{self.prefix}:worker:{worker_id}"

    @property
    def workers(self) -> str:
        """All workers."""
        return f"{self.prefix}:workers"

    @property
    def queues(self) -> str:
        """All queues."""
        return f"{self.prefix}:queues"

    def fixed(self, queue: str) -> Iterable[str]:
        """All keys of a queue whose names are known without looking."""
        yield from (self.of(kind, queue) for kind in ONE_A_QUEUE if kind != "meta")
        for priority in PRIORITIES:
            yield self.stream(queue, priority)
            yield self.of("ended", queue, f"p{priority}")
        for status in ("completed", "failed", "cancelled"):
            yield self.of("finished", queue, status)


def ref_of(job_id: str, dispatch_id: str) -> str:
    """How lists and sorted sets name a dispatch."""
    return f"{dispatch_id}:{job_id}"
