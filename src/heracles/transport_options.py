"""The options of transports as type checkers see them. What each means, and its bounds, is in ``options``."""

from datetime import timedelta
from typing import Literal, TypedDict


class TransportOptions(TypedDict, total=False):
    """Those of every transport: milliseconds, seconds for retentions and TTLs, or a timedelta."""

    poll_interval: float | timedelta
    batch_size: int
    lease: float | timedelta
    max_deliveries: int
    dispatch_timeout: float | timedelta
    durability: Literal["memory", "replicated", "fsync"]
    status_ttl: float | timedelta
    cleanup_completed_jobs: bool
    completed_job_retention: float | timedelta
    max_stream_size: int
    max_payload_bytes: int
    max_result_bytes: int


class ConnectedOptions(TransportOptions, total=False):
    """Those of ``RedisTransport`` on a connection that is named already."""

    key_prefix: str
    consumer_group: str
    consumer_name: str


class RedisOptions(ConnectedOptions, total=False):
    """Those of ``RedisTransport``."""

    connection: str
