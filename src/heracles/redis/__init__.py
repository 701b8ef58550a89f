"""The transport on Redis, and the registry of its connections."""

from heracles.redis.connections import Redis
from heracles.redis.transport import RedisTransport

__all__ = ["Redis", "RedisTransport"]
