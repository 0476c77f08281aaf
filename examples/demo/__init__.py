"""``make demo``: the whole lifecycle on one machine, as a story with real models."""
