"""Numbers and names as a person reads them. Nothing heavy is imported."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from seqbench.records import MetricInfo


def slug(name: str) -> str:
    """Return a name as a part of a link or of a file's name."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")[:60]


def with_unit(metric: MetricInfo) -> str:
    """Return a metric's name with its unit in brackets, if it has one."""
    return f"{metric.name} [{metric.unit}]" if metric.unit else metric.name


def with_direction(metric: MetricInfo) -> str:
    """Return a metric's name and unit, and which way is better."""
    better = "smaller" if metric.direction == "min" else "larger"
    return f"{with_unit(metric)}, {better} is better"


def told_apart(names: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Return what data are called, with where they lie if other data are called alike.

    Args:
        names: what each is called.
        sources: where each lies; empty for a task's built-in data.
    """
    places: dict[str, set[str]] = {}
    for name, source in zip(names, sources, strict=True):
        places.setdefault(name, set()).add(source)
    return [
        f"{name} ({source})" if source and len(places[name]) > 1 else name
        for name, source in zip(names, sources, strict=True)
    ]


def wrapped(text: str) -> str:
    """Return sentences in lines that a terminal can hold; a path or a name stays whole."""
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


_WIDTH = 120


def duration(seconds: float) -> str:
    """Return a time as a person reads it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
