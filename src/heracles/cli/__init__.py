"""The command line: ``heracles work``, ``cleanup``, ``list``, ``status``, ``jobs``, ``retry``, ``cancel``, ``demo``."""
