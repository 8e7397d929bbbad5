"""Faults at every moment of a shadow's life, on real guests: what `tests/faults` runs."""
