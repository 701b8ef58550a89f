"""The soak: producers and workers on a real store under random faults, judged by the history of what they did."""
