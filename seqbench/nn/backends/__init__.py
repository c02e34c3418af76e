"""What runs a cell over time; each module has ``run(cell, values, lengths, state)``."""

from __future__ import annotations

from collections import Counter

RAN: Counter[str] = Counter()
"""How often each back end of our own ran in this process, counted where it does the work."""
