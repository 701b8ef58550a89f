"""What ``heracles demo`` shows: real jobs on real input, run by a pool of worker processes on one SQLite file."""
