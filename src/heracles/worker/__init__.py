"""Workers: they take jobs from queues, run them and report how they ended.

- ``worker``: puts the parts together; ``source``: on which store; ``shutdown``, ``signals``: how it ends,
- ``link``: what a worker has on one store: its session, and of each queue
- ``lane``: takes deliveries in and collects reports; ``slots``: how many may run,
- ``fetcher``: the exchange of reports for started jobs; ``hints``: when there may be some; ``health``: does it answer,
- ``executor``: a delivery becomes an outcome; ``deadlines``, ``threads``; ``finisher``: an outcome becomes a report,
- ``held``: the jobs at hand, the only state that the parts share; ``plan``, ``outcome``: values,
- ``upkeep``: a thread for ``heartbeat``, ``maintenance`` and ``watchdog``,
- ``pool``: several worker processes.
"""

from heracles.worker.worker import RedisWorker, SqliteWorker, Worker

__all__ = ["RedisWorker", "SqliteWorker", "Worker"]
