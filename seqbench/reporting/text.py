"""Numbers and names as a person reads them. Standard library only."""

from __future__ import annotations

import re


def slug(name: str) -> str:
    """Return a name as a part of a link or of a file's name."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")[:60]


def duration(seconds: float) -> str:
    """Return a time as a person reads it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
