"""Background jobs on Redis Streams or one SQLite file."""
