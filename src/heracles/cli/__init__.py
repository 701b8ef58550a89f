"""The command line: ``heracles work``, ``cleanup``, ``list``, ``status`` and ``demo``."""
